"""The sample shop's products and the attributes behind them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from iisan.demo.palette import COLOURS, PALETTES
from iisan.demo.patterns import PATTERNS
from iisan.demo.silhouettes import SILHOUETTES
from iisan.demo.titles import MAKES, OCCASIONS, THEMES, write_title

WARM = ("rosy", "sunny")
AWAY = ("outdoors", "leisure")
PAIRINGS = ("classic", "contrary")
"""Classic: warm colours for away, cool ones for home and desk. Contrary: the other way round."""


@dataclass(frozen=True)
class Product:
    """One item and what is true of it.

    Attributes:
        item_id: Unique id.
        title: What the shop writes.
        category: In the picture and in the title.
        colour: In the picture only.
        pattern: In the picture only.
        theme: In the title only.
        make: In the title only.
        palette: The family of the colour.
        occasion: The family of the theme.
        pairing: A name of `PAIRINGS`, known only from palette and occasion together.
    """

    item_id: str
    title: str
    category: str
    colour: str
    pattern: str
    theme: str
    make: str
    palette: str
    occasion: str
    pairing: str


def pairing_of(palette: str, occasion: str) -> str:
    """Tell how a palette and an occasion go together.

    An exclusive or: neither the palette nor the occasion alone says anything about the pairing.

    Args:
        palette: A value of `iisan.demo.palette.PALETTES`.
        occasion: A value of `iisan.demo.titles.OCCASIONS`.

    Returns:
        A name of `PAIRINGS`.
    """
    return PAIRINGS[int((palette in WARM) != (occasion in AWAY))]


def _balanced_pairs(first: list[str], second: list[str], count: int, rng: np.random.Generator) -> list[tuple[str, str]]:
    """Deal ``count`` pairs so that every combination occurs equally often (give or take one), in random order."""
    deals = [(a, b) for a in first for b in second]
    order = np.concatenate([rng.permutation(len(deals)) for _ in range(-(-count // len(deals)))])[:count]
    return [deals[k] for k in rng.permutation(order)]


def make_catalogue(n_items: int, seed: int) -> list[Product]:
    """Invent the shop's products.

    Colour is balanced against theme, and pattern against make, so that nothing in one modality hints at the other.

    Args:
        n_items: How many.
        seed: The same seed gives the same products.

    Returns:
        Products ``P0001``, ``P0002``, …
    """
    rng = np.random.default_rng([seed, 1])
    looks = _balanced_pairs(list(COLOURS), list(THEMES), n_items, rng)
    finish = _balanced_pairs(list(PATTERNS), list(MAKES), n_items, rng)
    kinds = list(SILHOUETTES)
    categories = [kinds[k % len(kinds)] for k in rng.permutation(n_items)]
    return [
        Product(
            item_id=f"P{row + 1:04d}",
            title=write_title(category, theme, make, rng),
            category=category,
            colour=colour,
            pattern=pattern,
            theme=theme,
            make=make,
            palette=PALETTES[colour],
            occasion=OCCASIONS[theme],
            pairing=pairing_of(PALETTES[colour], OCCASIONS[theme]),
        )
        for row, (category, (colour, theme), (pattern, make)) in enumerate(zip(categories, looks, finish, strict=True))
    ]
