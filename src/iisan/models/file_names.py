"""What the files of a model folder are called."""

from __future__ import annotations

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
ITEMS = "items.parquet"
EMBEDDINGS = "item_embeddings.safetensors"
ADDITIONS = "additions"
PICTURES = "pictures"
# What training changed of the encoders, a folder for each modality.
TUNED_ENCODERS = "encoders"
