"""Ways of adapting a foundation model by gradients through it, one file each."""
