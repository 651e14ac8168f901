"""Titles of the sample shop: they name what a product is for and how it is made, never how it looks."""

from __future__ import annotations

import numpy as np

THEMES: dict[str, tuple[str, ...]] = {
    "camping": ("camping", "the campsite", "nights in a tent", "hiking and backpacking", "the wilderness"),
    "gardening": ("gardening", "the vegetable patch", "planting and weeding", "the greenhouse", "growing flowers"),
    "office": ("the office", "business meetings", "the boardroom", "working professionals", "corporate life"),
    "school": ("school", "students", "the classroom", "homework and exams", "campus life"),
    "babies": ("babies", "the nursery", "newborns and toddlers", "new parents", "infants"),
    "pets": ("dog owners", "cat lovers", "pets", "puppies and kittens", "animal lovers"),
    "beach": ("the beach", "surfing", "seaside holidays", "swimming and sunbathing", "the ocean coast"),
    "party": ("parties", "dancing all night", "birthday celebrations", "the nightclub", "festive evenings"),
}
"""What a product is for: the theme and the phrases that say it."""

OCCASIONS: dict[str, str] = {
    "camping": "outdoors",
    "gardening": "outdoors",
    "office": "desk",
    "school": "desk",
    "babies": "family",
    "pets": "family",
    "beach": "leisure",
    "party": "leisure",
}
"""Theme to the family it belongs to."""

MAKES: dict[str, tuple[str, ...]] = {
    "handmade": ("handmade", "hand-crafted", "artisan", "made by hand"),
    "recycled": ("recycled", "upcycled", "eco-friendly", "sustainable"),
    "lightweight": ("lightweight", "ultralight", "featherweight", "feather-light"),
    "luxury": ("luxury", "deluxe", "exclusive designer", "premium"),
    "budget": ("budget", "low-cost", "cheap and cheerful", "bargain"),
    "vintage": ("vintage", "retro", "old-fashioned", "antique-style"),
}
"""How a product is made or sold: the make and the words that say it."""

BRANDS = (
    "Harlow",
    "Nordvik",
    "Pemberly",
    "Tanaka & Sons",
    "Casa Lume",
    "Oakhurst",
    "Bellweather",
    "Fjellheim",
    "Marlowe",
    "Quillon",
    "Ostrava",
    "Wren & Co",
)

_FRAMES = (
    "{brand} {make} {category} for {theme}",
    "{make} {category} for {theme} by {brand}",
    "{make} {category} by {brand}, for {theme}",
    "{brand} {category} for {theme}, {make}",
)


def write_title(category: str, theme: str, make: str, rng: np.random.Generator) -> str:
    """Write one product's title.

    Args:
        category: What the product is, e.g. ``"mug"``.
        theme: A key of `THEMES`.
        make: A key of `MAKES`.
        rng: Source of the brand, the wording and the word order.

    Returns:
        A title such as ``"Nordvik upcycled mug for the campsite"``, its first letter a capital.
    """

    def one_of(words: tuple[str, ...]) -> str:
        return words[int(rng.integers(len(words)))]

    title = one_of(_FRAMES).format(
        brand=one_of(BRANDS), make=one_of(MAKES[make]), category=category, theme=one_of(THEMES[theme])
    )
    return title[0].upper() + title[1:]
