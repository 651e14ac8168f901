"""Colours of plots: each has a role, and two tones, for light and for dark pages.

A plot is drawn once, with a stand-in colour for every role. In the page the stand-ins become CSS variables, so one
drawing serves both tones. The tones of the paper's methods were chosen so that any two stay apart (CIE76 distance of at
least 27) for full colour vision, protanopia, deuteranopia and tritanopia, and so that each has a contrast of at least 3
with the page; markers and labels tell the methods apart as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tone:
    """One role's colour on a light page and on a dark one."""

    light: str
    dark: str


INK, FAINT, RULE, PAPER = "ink", "faint", "rule", "paper"
_PAGE = {
    INK: Tone("#1b1f24", "#e8eaed"),
    FAINT: Tone("#57606a", "#a5adb8"),
    RULE: Tone("#d8dee4", "#353c45"),
    PAPER: Tone("#ffffff", "#15181c"),
}
_METHODS = {
    "iisan": Tone("#003af5", "#2d64f5"),
    "iisan-uncached": Tone("#3197f4", "#a0c0ff"),
    "full": Tone("#76460e", "#db3016"),
    "adapter": Tone("#095743", "#01d97f"),
    "lora": Tone("#ae009d", "#c32ca9"),
    "bitfit": Tone("#e17300", "#ffc813"),
    "frozen": Tone("#939393", "#858585"),
    "id": Tone("#0d0d0d", "#f2f2f2"),
}
_MARKERS = {
    "iisan": "*",
    "iisan-uncached": "P",
    "full": "s",
    "adapter": "^",
    "lora": "o",
    "bitfit": "D",
    "frozen": "v",
    "id": "X",
}
# For methods without a colour of their own; in use again after the last, beside other markers.
_OTHERS = (
    Tone("#6b4fc9", "#b39bff"),
    Tone("#9c2a3c", "#ff9a9a"),
    Tone("#4f6b00", "#b9d65c"),
    Tone("#00707a", "#5fd3dc"),
)
_OTHER_MARKERS = ("<", ">", "p", "h", "d")
_PARTS = (
    Tone("#9a5b00", "#ecd444"),
    Tone("#2a6bd8", "#5cc8ff"),
    Tone("#0a2463", "#6f82fd"),
    Tone("#8a1c4a", "#ff9d6b"),
    Tone("#767676", "#9a9a9a"),
)
PARTS = tuple(f"part-{place}" for place in range(len(_PARTS)))


@dataclass(frozen=True, slots=True)
class Look:
    """How a method is drawn: the role of its colour, and its marker."""

    role: str
    marker: str


def looks(methods: Iterable[str]) -> dict[str, Look]:
    """A look for each method; a method of the paper always has the same one."""
    found: dict[str, Look] = {}
    others = 0
    for method in methods:
        if method in _METHODS:
            found[method] = Look(f"method-{method}", _MARKERS[method])
        else:
            found[method] = Look(f"other-{others % len(_OTHERS)}", _OTHER_MARKERS[others % len(_OTHER_MARKERS)])
            others += 1
    return found


def tones() -> dict[str, Tone]:
    """Every role with its colours."""
    return {
        **_PAGE,
        **{f"method-{name}": tone for name, tone in _METHODS.items()},
        **{f"other-{place}": tone for place, tone in enumerate(_OTHERS)},
        **dict(zip(PARTS, _PARTS, strict=True)),
    }


def stand_in(role: str) -> str:
    """The colour with which a role is drawn, before it becomes a CSS variable."""
    return f"#fa{list(tones()).index(role):04x}"


def stand_ins() -> dict[str, str]:
    """The CSS value for each stand-in colour."""
    return {stand_in(role): f"var(--{role})" for role in tones()}
