"""Small recommenders of every kind, with numbers in all their parts, for tests of exports."""

from __future__ import annotations

from typing import Any

import torch

from iisan.models.config import (
    FrozenConfig,
    ItemIdConfig,
    ModalityConfig,
    RecommenderConfig,
    SasrecConfig,
    SideNetworkConfig,
    WhiteningConfig,
)
from iisan.models.item_table import ItemTable
from iisan.models.recommender import Recommender
from tests.random_source import RandomSource

N, DIM, LENGTH = 13, 8, 5
# Item 5 lacks both of two modalities.
MISSING = {"image": [2, 5], "text": [5, 7]}
CONSTANT = {"image": [0]}
EQUAL = {"image": (3, 8), "text": (3, 8)}
UNEQUAL = {"image": (4, 6), "text": (2, 8)}
THREE = {"audio": (2, 4), "image": (3, 6), "text": (2, 8)}


def side(shapes: dict[str, tuple[int, int]], head: bool = True, **options: Any) -> SideNetworkConfig:
    modalities = {
        name: ModalityConfig(n_taps=n_taps, width=width, bottleneck=4 + n_taps, head_width=width if head else None)
        for name, (n_taps, width) in shapes.items()
    }
    return SideNetworkConfig(modalities=modalities, dim=DIM, inter_bottleneck=4, **options)


def whitening(shapes: dict[str, tuple[int, int]]) -> dict[str, WhiteningConfig]:
    return {name: WhiteningConfig(n_taps=n_taps, width=width) for name, (n_taps, width) in shapes.items()}


FROZEN = FrozenConfig(widths={"image": 6, "text": 8}, dim=DIM)
# Shapes of the hidden states, and the model that reads them.
KINDS: dict[str, tuple[dict[str, tuple[int, int]], dict[str, Any]]] = {
    "symmetric": (EQUAL, {"item_encoder": side(EQUAL)}),
    "one-layer-heads": (EQUAL, {"item_encoder": side(EQUAL, head=False, activation="gelu")}),
    "unequal": (
        UNEQUAL,
        {
            "item_encoder": side(UNEQUAL, inter_head_width=6),
            "own_items": N - 2,
            "whitening": whitening(UNEQUAL),
            "similarity": "cosine",
        },
    ),
    "intra": (UNEQUAL, {"item_encoder": side(UNEQUAL, towers="intra"), "similarity": "cosine"}),
    "inter": (EQUAL, {"item_encoder": side(EQUAL, towers="inter"), "own_items": N}),
    "one-modality": (
        {"text": (3, 8)},
        {"item_encoder": side({"text": (3, 8)}), "whitening": whitening({"text": (3, 8)})},
    ),
    "three-modalities": (THREE, {"item_encoder": side(THREE), "similarity": "cosine"}),
    "frozen": (UNEQUAL, {"item_encoder": FROZEN, "whitening": whitening({"image": (4, 6)})}),
    "id": ({}, {"item_encoder": ItemIdConfig(n_items=N, dim=DIM), "similarity": "cosine"}),
}


def random_source(kind: str, n_items: int = N, seed: int = 3) -> RandomSource:
    """Hidden states of some items, some of which lack modalities; one tap is the same for all."""
    shapes = KINDS[kind][0]
    missing = {name: [row for row in rows if row < n_items] for name, rows in MISSING.items() if name in shapes}
    return RandomSource(shapes, n_items, seed, missing, {name: CONSTANT.get(name, []) for name in shapes})


def recommender(kind: str, length: int = LENGTH) -> Recommender:
    """A model of a kind, with an item table of `N` items of which one may not be offered."""
    options = KINDS[kind][1]
    sequence = SasrecConfig(dim=DIM, max_length=length, n_heads=2)
    torch.manual_seed(1)
    model = Recommender(RecommenderConfig(sequence_encoder=sequence, **options), details=details(kind)).eval()
    source = random_source(kind)
    model.fit_whitening(source)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" not in name and name != "log_scale":
                parameter.normal_(std=0.3)
    rows = torch.arange(N)
    if kind == "id":
        with torch.no_grad():
            embeddings = model.item_embeddings({}, rows)
    else:
        embeddings = model.embed_items(source, rows)
    titles = [None if row == 2 else f"title {row}" for row in range(N)]
    model.item_table = ItemTable([f"i{row}" for row in range(N)], titles, embeddings, rows != 5)
    return model


def details(kind: str) -> dict[str, Any]:
    shapes = KINDS[kind][0]
    encoders = {
        name: {"model": f"org/{name}", "revision": "commit:abc", "taps": list(range(n_taps)), "width": width}
        for name, (n_taps, width) in shapes.items()
    }
    return {"encoders": encoders, "state_dtypes": dict.fromkeys(shapes, "float16")}
