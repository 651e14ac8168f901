"""Hidden states of a few items of a dataset from a model's own encoders, computed when they are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from iisan.data.dataset import Dataset
from iisan.errors import UserError
from iisan.jobs.model_encoders import ModelEncoders
from iisan.states.content import Media
from iisan.states.sources import ItemStates


class DatasetStates:
    """What a model's encoders make of the items of a dataset, tuned encoders as training left them.

    Args:
        encoders: Of the model; they are loaded.
        dataset: With the content of the items.

    Raises:
        UserError: The dataset lacks a modality that the model reads, or an encoder cannot be loaded.
    """

    def __init__(self, encoders: ModelEncoders, dataset: Dataset) -> None:
        self._encoders = encoders
        self._dataset = dataset
        self._kinds = {name: str(identity.get("kind", "text")) for name, identity in encoders.identities.items()}
        for name, kind in self._kinds.items():
            if dataset.modalities.get(name) != kind:
                there = ", ".join(f"{one} ({its})" for one, its in dataset.modalities.items())
                raise UserError(
                    f"the dataset has no {kind} modality {name!r}, which the model reads",
                    where=str(dataset.path),
                    how=f"name the dataset that the model was trained on; this one has: {there or 'none'}",
                )
        encoders.load()  # Here, as methods of tuning look for what gradients reach, and explanations record none.

    def of(self, item_ids: Sequence[str]) -> Mapping[str, ItemStates]:
        """States of some items; those that the dataset lacks lack every modality.

        Raises:
            UserError: A picture is missing or damaged.
        """
        rows = self._dataset.rows_of(item_ids).tolist()
        contents = {name: self._contents(name, rows) for name in self._kinds}
        return self._encoders.states(contents).gather(torch.arange(len(rows)))

    def _contents(self, name: str, rows: Sequence[int]) -> list[Media | None]:
        known = [row for row in rows if row >= 0]
        if self._kinds[name] == "image":
            found: Sequence[Media | None] = self._dataset.image_paths(name, known)
        else:
            column = self._dataset.texts(name)
            found = [column[row] for row in known]
        of_row = dict(zip(known, found, strict=True))
        return [of_row.get(row) for row in rows]
