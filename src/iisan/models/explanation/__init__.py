"""Why a model recommends an item: what its modalities and the items of the history add to the score."""
