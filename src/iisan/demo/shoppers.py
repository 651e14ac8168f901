"""The sample shop's visitors: what they like, and the log that they leave."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from iisan.demo.catalogue import PAIRINGS, Product
from iisan.demo.palette import PALETTES
from iisan.demo.patterns import PATTERNS
from iisan.demo.silhouettes import DEPARTMENTS
from iisan.demo.titles import MAKES, OCCASIONS

Weights = NDArray[np.float64]
"""How much each product attracts, ``[N]``, above 0."""

SHORTEST_VISIT = 5
"""Every shopper has at least this many interactions, so that leave-one-out keeps all of them."""

_OPENING = 1_700_000_000  # 14 November 2023, in seconds since 1970
_SEASON = 120 * 86_400  # first visits fall within this many seconds
# Tuned so that a ranking by popularity is beaten by either modality alone, and each of those by both together.
_APPEAL_SPREAD = 0.6
_PULL = 5.0
_STAY = 0.90
_WHIM = 0.06
_TASTES_EACH = 2
_KIND_SHARES = (0.25, 0.25, 0.50)  # look, use, pairing


@dataclass(frozen=True)
class Visit:
    """One interaction.

    Attributes:
        user_id: Who.
        item_row: Which product, as its position in the catalogue.
        timestamp: When, in seconds since 1970.
    """

    user_id: str
    item_row: int
    timestamp: int


class Attraction:
    """What a taste makes of each product.

    Args:
        products: The catalogue.
    """

    def __init__(self, products: Sequence[Product]) -> None:
        self._values = {
            name: np.asarray([getattr(product, name) for product in products])
            for name in ("department", "palette", "pattern", "occasion", "make", "pairing")
        }

    def _likes(self, **liked: Sequence[str]) -> Weights:
        pull: Weights = np.zeros(len(self._values["pairing"]))
        for name, names in liked.items():
            pull += _PULL * np.isin(self._values[name], names)
        return np.exp(pull)

    def look(self, rng: np.random.Generator) -> Weights:
        """Return a taste for one palette and one pattern: only the picture shows them."""
        return self._likes(palette=_some(PALETTES.values(), 1, rng), pattern=_some(PATTERNS, 1, rng))

    def use(self, rng: np.random.Generator) -> Weights:
        """Return a taste for one occasion and one make: only the title names them."""
        return self._likes(occasion=_some(OCCASIONS.values(), 1, rng), make=_some(MAKES, 1, rng))

    def pairing(self, rng: np.random.Generator) -> Weights:
        """Return a taste for one pairing of palette and occasion in one department: only both modalities tell."""
        return self._likes(pairing=_some(PAIRINGS, 1, rng), department=_some(DEPARTMENTS.values(), 1, rng))


def _some(names: Iterable[str], count: int, rng: np.random.Generator) -> list[str]:
    """Choose ``count`` different names."""
    distinct = list(dict.fromkeys(names))
    return [distinct[k] for k in rng.permutation(len(distinct))[:count]]


def _length(mean: float, longest: int, rng: np.random.Generator) -> int:
    """Draw a history's length: the shortest visit plus a geometric tail, ``mean`` on average."""
    tail = int(rng.geometric(1.0 / (mean - SHORTEST_VISIT + 1.0))) - 1
    return min(SHORTEST_VISIT + tail, longest)


def _walk(tastes: Sequence[Weights], appeal: Weights, length: int, rng: np.random.Generator) -> list[tuple[int, bool]]:
    """Choose ``length`` different products; the flag says that a new mood began with this one."""
    mood = int(rng.integers(len(tastes)))
    left = np.ones_like(appeal)
    steps: list[tuple[int, bool]] = []
    for _ in range(length):
        turned = rng.random() > _STAY
        if turned:
            mood = (mood + int(rng.integers(1, len(tastes)))) % len(tastes)
        pull = appeal if rng.random() < _WHIM else appeal * tastes[mood]
        reach = np.cumsum(pull * left)
        row = int(np.searchsorted(reach, rng.random() * reach[-1], side="right"))
        left[row] = 0.0
        steps.append((row, turned))
    return steps


def _clock(steps: Sequence[tuple[int, bool]], rng: np.random.Generator) -> list[int]:
    """Give each step a time: minutes apart within a mood, days apart between two."""
    now = _OPENING + int(rng.integers(_SEASON))
    times: list[int] = []
    for _, turned in steps:
        now += int(rng.integers(2 * 86_400, 12 * 86_400)) if turned else int(rng.integers(30, 1_800))
        times.append(now)
    return times


def make_log(products: Sequence[Product], n_shoppers: int, mean_length: float, seed: int) -> list[Visit]:
    """Let the shoppers loose in the shop.

    A shopper has two tastes out of three kinds (a look, a use, a pairing of both), stays with one for a while, turns
    to the other, and now and then picks whatever is popular. Nobody picks a product twice.

    Args:
        products: The catalogue.
        n_shoppers: How many.
        mean_length: Interactions of a shopper on average.
        seed: The same seed gives the same log.

    Returns:
        The log, oldest first over all shoppers.
    """
    attraction = Attraction(products)
    kinds: tuple[Callable[[np.random.Generator], Weights], ...] = (
        attraction.look,
        attraction.use,
        attraction.pairing,
    )
    appeal = np.exp(_APPEAL_SPREAD * np.random.default_rng([seed, 2]).standard_normal(len(products)))
    log: list[Visit] = []
    for number in range(n_shoppers):
        rng = np.random.default_rng([seed, 3, number])
        tastes = [kinds[k](rng) for k in rng.choice(len(kinds), size=_TASTES_EACH, p=_KIND_SHARES)]
        steps = _walk(tastes, appeal, _length(mean_length, len(products) // 2, rng), rng)
        user_id = f"shopper-{number + 1:05d}"
        log += [Visit(user_id, row, time) for (row, _), time in zip(steps, _clock(steps, rng), strict=True)]
    return sorted(log, key=lambda visit: (visit.timestamp, visit.user_id))
