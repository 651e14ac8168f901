"""The sample shop's products and the attributes behind them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from iisan.demo.palette import COLOUR_FAMILIES, COLOURS
from iisan.demo.patterns import PATTERNS
from iisan.demo.silhouettes import SILHOUETTES
from iisan.demo.titles import MAKES, THEME_FAMILIES, THEMES, write_title

PAIRINGS = ("north", "east", "south", "west")
"""Names of the four ways in which a colour family and a theme family can go together."""


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
        pairing: A name of `PAIRINGS`, known only from colour and theme together.
    """

    item_id: str
    title: str
    category: str
    colour: str
    pattern: str
    theme: str
    make: str
    pairing: str


def pairing_of(colour: str, theme: str) -> str:
    """Tell how a colour and a theme go together.

    The families form a 4 by 4 Latin square: each colour family meets each pairing in exactly one theme family and the
    other way round. So neither the colour nor the theme alone says anything about the pairing, as with an exclusive or.

    Args:
        colour: A key of `iisan.demo.palette.COLOURS`.
        theme: A key of `iisan.demo.titles.THEMES`.

    Returns:
        A name of `PAIRINGS`.
    """
    return PAIRINGS[(COLOUR_FAMILIES[colour] + THEME_FAMILIES[theme]) % len(PAIRINGS)]


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
            pairing=pairing_of(colour, theme),
        )
        for row, (category, (colour, theme), (pattern, make)) in enumerate(zip(categories, looks, finish, strict=True))
    ]
