"""The drawn shop: reproducible, complete, and with tastes that need the picture, the title, or both."""

from __future__ import annotations

import csv
import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from iisan.demo.catalogue import PAIRINGS, Product, make_catalogue, pairing_of
from iisan.demo.palette import COLOURS, PALETTES
from iisan.demo.patterns import PATTERNS, lay_pattern
from iisan.demo.pictures import draw_picture
from iisan.demo.shop import ShopConfig, draw_shop
from iisan.demo.shoppers import SHORTEST_VISIT, Visit, make_log
from iisan.demo.silhouettes import DEPARTMENTS, SILHOUETTES
from iisan.demo.titles import OCCASIONS
from iisan.errors import UserError

SMALL = ShopConfig(n_items=70, n_shoppers=40, seed=3, picture_size=64)

LOOKS = (
    "red|crimson|scarlet|ruby|maroon|pink|rose|magenta|orange|amber|coral|yellow|gold|golden|lemon|mustard|green|"
    "olive|lime|mint|emerald|teal|turquoise|cyan|aqua|blue|navy|azure|indigo|violet|purple|lilac|lavender|colou?r\\w*|"
    "plain|stripe[sd]?|striped|dot|dots|dotted|spot|spots|spotted|check|checks|checked|gingham|plaid|zig-?zag|chevron|"
    "diamonds?|argyle|pattern\\w*|rosy|sunny|leafy|watery"
)


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_shop(SMALL, tmp_path_factory.mktemp("shop") / "drawn")


@pytest.fixture(scope="module")
def catalogue() -> list[Product]:
    return make_catalogue(600, seed=7)


@pytest.fixture(scope="module")
def histories(catalogue: list[Product]) -> list[list[Product]]:
    by_user: dict[str, list[Product]] = defaultdict(list)
    for visit in make_log(catalogue, n_shoppers=1500, mean_length=12.0, seed=7):
        by_user[visit.user_id].append(catalogue[visit.item_row])
    return list(by_user.values())


def test_the_same_seed_gives_the_same_bytes(drawn: Path, tmp_path: Path) -> None:
    again = draw_shop(SMALL, tmp_path / "again")
    assert digests(again) == digests(drawn)


def test_another_seed_gives_another_shop(drawn: Path, tmp_path: Path) -> None:
    before, after = digests(drawn), digests(draw_shop(SMALL.model_copy(update={"seed": 4}), tmp_path / "other"))
    assert before.keys() == after.keys()
    assert not set(before.values()) & set(after.values())


def test_counts_and_references_are_whole(drawn: Path) -> None:
    items, log = read(drawn / "items.csv"), read(drawn / "interactions.csv")
    ids = [row["item_id"] for row in items]
    assert len(ids) == len(set(ids)) == SMALL.n_items
    assert {path.name for path in (drawn / "pictures").iterdir()} == {Path(row["image"]).name for row in items}
    assert {row["item_id"] for row in log} <= set(ids)
    assert len({row["user_id"] for row in log}) == SMALL.n_shoppers
    times = [int(row["timestamp"]) for row in log]
    assert times == sorted(times)


def test_pictures_are_what_the_configuration_asks_for(drawn: Path) -> None:
    for row in read(drawn / "items.csv")[:10]:
        with Image.open(drawn / row["image"]) as picture:
            picture.load()
            assert (picture.mode, picture.size, picture.format) == ("RGB", (64, 64), "JPEG")


def test_history_length_is_near_the_mean_asked_for(histories: list[list[Product]]) -> None:
    lengths = np.asarray([len(history) for history in histories])
    assert abs(lengths.mean() - 12.0) < 4 * lengths.std() / np.sqrt(len(lengths))
    assert lengths.min() >= SHORTEST_VISIT


def test_quick_is_smaller_with_the_same_seed() -> None:
    quick, full = ShopConfig.quick(), ShopConfig()
    assert quick.n_items < full.n_items / 2
    assert quick.n_shoppers < full.n_shoppers
    assert quick.seed == full.seed


def test_progress_counts_every_picture(tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    draw_shop(SMALL, tmp_path / "shop", progress=lambda done, total, label: seen.append((done, total)))
    assert seen == [(k + 1, SMALL.n_items) for k in range(SMALL.n_items)]


def test_an_interrupted_drawing_leaves_nothing(tmp_path: Path) -> None:
    def stop(done: int, total: int | None, label: str) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        draw_shop(SMALL, tmp_path / "shop", progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_an_occupied_folder_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep", encoding="utf-8")
    with pytest.raises(UserError, match=r"there already"):
        draw_shop(SMALL, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_empty_folder_is_used(tmp_path: Path) -> None:
    target = tmp_path / "empty"
    target.mkdir()
    assert (draw_shop(SMALL, target) / "items.csv").exists()


def test_titles_never_tell_the_look(catalogue: list[Product]) -> None:
    telling = re.compile(rf"\b({LOOKS})\b", re.IGNORECASE)
    assert [item.title for item in catalogue if telling.search(item.title)] == []
    assert telling.search("Nordvik striped mug")


def test_every_category_has_a_department() -> None:
    assert DEPARTMENTS.keys() == SILHOUETTES.keys()
    assert set(Counter(DEPARTMENTS.values()).values()) == {3}


def test_titles_name_the_category_and_vary(catalogue: list[Product]) -> None:
    assert all(item.category in item.title.lower() for item in catalogue)
    assert len({item.title for item in catalogue}) > 0.95 * len(catalogue)


def main_hue(picture: Image.Image) -> float:
    """Most frequent hue among well-saturated pixels, 0..1."""
    hue, saturation, _ = np.moveaxis(np.asarray(picture.convert("HSV")), -1, 0)
    counts = np.bincount(hue[saturation > 90], minlength=256).astype(float)
    rolled = sum(np.roll(counts, shift) for shift in range(-3, 4))
    return float(np.argmax(rolled)) / 255.0


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("category", SILHOUETTES)
def test_the_picture_shows_the_colour(category: str, colour: str) -> None:
    picture = draw_picture(category, colour, "plain", 96, np.random.default_rng(1))
    gaps = {name: abs((main_hue(picture) - hue + 0.5) % 1.0 - 0.5) for name, (hue, _, _) in COLOURS.items()}
    assert min(gaps, key=gaps.__getitem__) == colour


@pytest.mark.parametrize("pattern", [name for name in PATTERNS if name != "plain"])
def test_a_pattern_shows_both_tones(pattern: str) -> None:
    tones = lay_pattern(pattern, 224, np.random.default_rng(2))
    assert tones.shape == (224, 224)
    assert (tones.min(), tones.max()) == (0.0, 1.0)
    assert 0.2 < tones.mean() < 0.8


def test_every_pattern_looks_different_on_the_same_product() -> None:
    drawn = [
        np.asarray(draw_picture("shirt", "blue", name, 96, np.random.default_rng(5)), dtype=float) for name in PATTERNS
    ]
    gaps = [np.abs(one - other).mean() for k, one in enumerate(drawn) for other in drawn[:k]]
    assert min(gaps) > 3.0


def test_pairing_needs_both_palette_and_occasion() -> None:
    palettes, occasions = set(PALETTES.values()), set(OCCASIONS.values())
    for palette in palettes:
        assert {pairing_of(palette, occasion) for occasion in occasions} == set(PAIRINGS)
    for occasion in occasions:
        assert {pairing_of(palette, occasion) for palette in palettes} == set(PAIRINGS)


@pytest.mark.parametrize(("picture", "title"), [("colour", "theme"), ("pattern", "make"), ("palette", "occasion")])
def test_one_modality_hints_nothing_about_the_other(catalogue: list[Product], picture: str, title: str) -> None:
    cells = Counter((getattr(item, picture), getattr(item, title)) for item in catalogue)
    rows, columns = {cell[0] for cell in cells}, {cell[1] for cell in cells}
    assert len(cells) == len(rows) * len(columns)
    # Colours are dealt evenly; a palette of two colours and an occasion of two themes sum four such cells.
    assert max(cells.values()) - min(cells.values()) <= 4


def neighbours(histories: list[list[Product]]) -> Iterator[tuple[Product, Product]]:
    for history in histories:
        yield from pairwise(history)


def strangers(histories: list[list[Product]]) -> Iterator[tuple[Product, Product]]:
    """Pairs of the same products as `neighbours`, matched at random across shoppers: what chance alone would give."""
    pairs = list(neighbours(histories))
    order = np.random.default_rng(0).permutation(len(pairs))
    for (one, _), k in zip(pairs, order, strict=True):
        yield one, pairs[k][1]


def agreement(pairs: Iterator[tuple[Product, Product]], names: tuple[str, ...]) -> tuple[float, int]:
    agree = [all(getattr(one, name) == getattr(other, name) for name in names) for one, other in pairs]
    return float(np.mean(agree)), len(agree)


def lift(histories: list[list[Product]], *names: str) -> tuple[float, float]:
    """Share of neighbours that agree over the share of strangers that do, and how many standard errors lie between."""
    seen, count = agreement(neighbours(histories), names)
    chance, _ = agreement(strangers(histories), names)
    return seen / chance, (seen - chance) / np.sqrt(2 * chance * (1 - chance) / count)


@pytest.mark.parametrize("names", [("palette",), ("pattern",), ("occasion",), ("make",), ("department",), ("pairing",)])
def test_the_log_depends_on_each_factor(histories: list[list[Product]], names: tuple[str, ...]) -> None:
    ratio, errors = lift(histories, *names)
    assert ratio > 1.2
    assert errors > 10


@pytest.mark.parametrize("names", [("palette", "pattern"), ("occasion", "make")])
def test_the_log_depends_on_each_modality_as_a_whole(histories: list[list[Product]], names: tuple[str, ...]) -> None:
    ratio, errors = lift(histories, *names)
    assert ratio > 3.0
    assert errors > 20


def test_the_log_ignores_what_no_taste_is_about(histories: list[list[Product]]) -> None:
    """Tastes go by palette: of two neighbours in one palette, the colours agree as often as between strangers."""

    def same_colour(pairs: Iterator[tuple[Product, Product]]) -> tuple[float, int]:
        return agreement(((one, other) for one, other in pairs if one.palette == other.palette), ("colour",))

    seen, count = same_colour(neighbours(histories))
    chance, others = same_colour(strangers(histories))
    assert abs(seen - chance) < 4 * np.sqrt(chance * (1 - chance) * (1 / count + 1 / others))


def test_the_conjunction_matters_beyond_both_parts(histories: list[list[Product]]) -> None:
    """Among neighbours that agree in neither palette nor occasion, the pairing agrees more often than by chance."""

    def apart(pairs: Iterator[tuple[Product, Product]]) -> Iterator[tuple[Product, Product]]:
        return ((a, b) for a, b in pairs if a.palette != b.palette and a.occasion != b.occasion)

    seen, count = agreement(apart(neighbours(histories)), ("pairing",))
    chance, _ = agreement(apart(strangers(histories)), ("pairing",))
    assert abs(chance - 1 / 3) < 0.03  # 3 of the 9 ways to differ in both keep the pairing
    assert seen / chance > 1.3
    assert (seen - chance) / np.sqrt(2 * chance * (1 - chance) / count) > 10


def test_tastes_drift(histories: list[list[Product]]) -> None:
    """Two products in a row agree in look or use more often than the first and the last of a long history."""
    long = [history for history in histories if len(history) >= 12]

    def close(one: Product, other: Product) -> bool:
        return (one.palette, one.pattern) == (other.palette, other.pattern) or (one.occasion, one.make) == (
            other.occasion,
            other.make,
        )

    near = np.mean([close(history[-2], history[-1]) for history in long])
    far = np.mean([close(history[0], history[-1]) for history in long])
    assert near > far + 0.05


def test_popularity_is_skewed_but_moderately(histories: list[list[Product]]) -> None:
    counts = np.sort(np.asarray(list(Counter(item.item_id for h in histories for item in h).values())))[::-1]
    top_tenth = counts[:60].sum() / counts.sum()
    assert 0.15 < top_tenth < 0.40


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), n_shoppers=st.integers(1, 30), mean=st.floats(5.5, 30))
def test_every_history_is_sound(seed: int, n_shoppers: int, mean: float) -> None:
    products = make_catalogue(80, seed)
    log = make_log(products, n_shoppers, mean, seed)
    assert log == sorted(log, key=lambda visit: visit.timestamp)
    by_user: dict[str, list[Visit]] = defaultdict(list)
    for visit in log:
        by_user[visit.user_id].append(visit)
    assert len(by_user) == n_shoppers
    for visits in by_user.values():
        rows = [visit.item_row for visit in visits]
        assert SHORTEST_VISIT <= len(rows) == len(set(rows)) <= len(products) // 2
        assert all(later.timestamp > earlier.timestamp for earlier, later in pairwise(visits))


def test_shoppers_do_not_depend_on_how_many_follow() -> None:
    products = make_catalogue(80, 1)
    few = make_log(products, 5, 12.0, 1)
    names = {visit.user_id for visit in few}
    assert [visit for visit in make_log(products, 9, 12.0, 1) if visit.user_id in names] == few


def test_every_combination_of_attributes_can_be_drawn() -> None:
    for category, colour, pattern in product(SILHOUETTES, ["red"], PATTERNS):
        picture = draw_picture(category, colour, pattern, 64, np.random.default_rng(0))
        assert np.asarray(picture).std() > 5
