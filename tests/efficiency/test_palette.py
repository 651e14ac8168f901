"""Colours of plots: seen by all, on light pages and on dark ones."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import numpy.typing as npt
import pytest

from iisan.efficiency.report.plots.palette import FAINT, INK, PAPER, looks, stand_ins, tones

Colour = npt.NDArray[np.float64]
# Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB.
SIGHT = {
    "full": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
WHITE = np.array([0.9505, 1.0, 1.089])


def linear(code: str) -> Colour:
    values = np.array([int(code[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab(colour: Colour) -> Colour:
    share = TO_XYZ @ np.clip(colour, 0, 1) / WHITE
    x, y, z = np.where(share > 0.008856, np.cbrt(share), 7.787 * share + 16 / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def contrast(one: str, other: str) -> float:
    dark, light = sorted(float(linear(code) @ TO_XYZ[1]) for code in (one, other))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("tone", ["light", "dark"])
def test_no_two_methods_of_the_paper_look_alike(tone: str, sight: str) -> None:
    seen = {
        role: lab(SIGHT[sight] @ linear(getattr(colours, tone)))
        for role, colours in tones().items()
        if role.startswith("method-")
    }
    distances = {(a, b): float(np.linalg.norm(seen[a] - seen[b])) for a, b in combinations(seen, 2)}
    assert len(seen) == 8
    assert min(distances.values()) >= 27, min(distances, key=distances.__getitem__)


@pytest.mark.parametrize("tone", ["light", "dark"])
def test_everything_stands_out_from_the_page(tone: str) -> None:
    page = getattr(tones()[PAPER], tone)
    for role, colours in tones().items():
        code = getattr(colours, tone)
        if role.startswith(("method-", "other-")):
            assert contrast(code, page) >= 3, role
        elif role.startswith("part-") or role in {INK, FAINT}:
            # Letters in these colours, or of the page's colour on them.
            assert contrast(code, page) >= 4.5, role


def test_methods_without_a_colour_of_their_own_differ_by_colour_or_mark() -> None:
    names = [f"peft:{place}" for place in range(20)]
    found = looks(["iisan", *names])
    assert len({(look.role, look.marker) for look in found.values()}) == 21
    assert found["iisan"] == looks(["full", "iisan"])["iisan"]


def test_each_role_has_a_stand_in_of_its_own() -> None:
    assert len(stand_ins()) == len(set(stand_ins().values())) == len(tones())
