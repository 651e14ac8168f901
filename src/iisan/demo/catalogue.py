"""The sample shop's products and the attributes behind them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from iisan.demo.palette import COLOURS, PALETTES
from iisan.demo.patterns import PATTERNS
from iisan.demo.silhouettes import DEPARTMENTS
from iisan.demo.titles import MAKES, OCCASIONS, THEMES, write_title

PAIRINGS = ("spring", "summer", "autumn", "winter")
"""Names of the four ways in which a palette and an occasion can go together."""


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
        department: The family of the category.
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
    department: str
    palette: str
    occasion: str
    pairing: str


def pairing_of(palette: str, occasion: str) -> str:
    """Tell how a palette and an occasion go together.

    They form a 4 by 4 Latin square: each palette meets each pairing at exactly one occasion and the other way round.
    So neither the palette nor the occasion alone says anything about the pairing, as with an exclusive or.

    Args:
        palette: A value of `iisan.demo.palette.PALETTES`.
        occasion: A value of `iisan.demo.titles.OCCASIONS`.

    Returns:
        A name of `PAIRINGS`.
    """
    palettes, occasions = list(dict.fromkeys(PALETTES.values())), list(dict.fromkeys(OCCASIONS.values()))
    return PAIRINGS[(palettes.index(palette) + occasions.index(occasion)) % len(PAIRINGS)]


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
    kinds = list(DEPARTMENTS)
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
            department=DEPARTMENTS[category],
            palette=PALETTES[colour],
            occasion=OCCASIONS[theme],
            pairing=pairing_of(PALETTES[colour], OCCASIONS[theme]),
        )
        for row, (category, (colour, theme), (pattern, make)) in enumerate(zip(categories, looks, finish, strict=True))
    ]
