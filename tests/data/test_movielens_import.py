"""The three layouts of MovieLens, from lines of the published files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from iisan.data import Dataset, MovieLensImport, import_movielens
from iisan.data.importers.movie_items import year_of
from iisan.errors import UserError

GENRES = "unknown|0\nAction|1\nAdventure|2\nAnimation|3\nComedy|4\n\n"
ADDRESS = "http://us.imdb.com/M/title-exact?Toy%20Story%20(1995)"
U_ITEM = (
    f"1|Toy Story (1995)|01-Jan-1995||{ADDRESS}|0|0|0|1|1\n"
    "2|Cité des enfants perdus, La (1995)|01-Jan-1995|||0|0|1|0|0\n"
    "267|unknown||||1|0|0|0|0\n"
    "404|Land Before Time III (1995) (V)|01-Jan-1995|||0|0|0|1|0\n"
)
U_DATA = "196\t267\t3\t881250949\n186\t1\t3\t891717742\n196\t2\t1\t881250948\n"
MOVIES_DAT = "1::Toy Story (1995)::Animation|Comedy\n2::Alien: Resurrection, Á (1997)::Action\n3::Odd::\n"
RATINGS_DAT = "1::2::5::978300760\n1::1::3::978300759\n6040::1::0.5::956704746\n"
MOVIES_CSV = (
    "movieId,title,genres\n"
    "1,Toy Story (1995),Adventure|Animation\n"
    '11,"American President, The (1995)",Comedy\n'
    '7789,"""11\'09""01 - September 11 (2002)",Drama\n'
    "131172,Closed Curtain (2013–2015) ,(no genres listed)\n"
)
RATINGS_CSV = "userId,movieId,rating,timestamp\n1,11,3.5,1112486027\n1,1,5.0,1112484676\n2,131172,0.5,1112484819\n"


def of_100k(folder: Path) -> None:
    (folder / "u.item").write_bytes(U_ITEM.encode("latin-1"))
    (folder / "u.genre").write_text(GENRES)
    (folder / "u.data").write_text(U_DATA)


def of_1m(folder: Path) -> None:
    (folder / "movies.dat").write_bytes(MOVIES_DAT.encode("latin-1"))
    (folder / "ratings.dat").write_text(RATINGS_DAT)


def of_20m(folder: Path) -> None:
    (folder / "movies.csv").write_text(MOVIES_CSV, encoding="utf-8")
    (folder / "ratings.csv").write_text(RATINGS_CSV)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "ml"
    folder.mkdir()
    return folder


def run(folder: Path, **options: object) -> Dataset:
    return import_movielens(MovieLensImport.model_validate({"folder": folder, **options}), folder.parent / "out")


def rows(dataset: Dataset) -> list[tuple[str, str, float, int]]:
    log = dataset.interactions
    assert log.timestamp is not None
    assert log.rating is not None
    users, items = dataset.user_ids, dataset.item_ids
    return [
        (users[user], items[item], float(rating), int(time))
        for user, item, rating, time in zip(log.user, log.item, log.rating, log.timestamp, strict=True)
    ]


def test_100k(folder: Path) -> None:
    of_100k(folder)
    dataset = run(folder, attributes=("year", "genres"))
    assert dataset.item_ids == ["1", "2", "267", "404"]
    assert dataset.texts("text") == [
        "Toy Story (1995). Animation, Comedy",
        "Cité des enfants perdus, La (1995). Adventure",
        "unknown",
        "Land Before Time III (1995) (V). Animation",
    ]
    assert dataset.attribute("year") == ["1995", "1995", None, "1995"]
    assert rows(dataset) == [
        ("196", "2", 1, 881250948),
        ("196", "267", 3, 881250949),
        ("186", "1", 3, 891717742),
    ]
    dataset.verify()


@pytest.mark.parametrize("encoding", ["latin-1", "utf-8"])
def test_1m_and_10m(folder: Path, encoding: str) -> None:
    of_1m(folder)
    (folder / "movies.dat").write_bytes(MOVIES_DAT.encode(encoding))
    dataset = run(folder, text="{plain_title} ({year}): {genres}")
    assert dataset.titles == ["Toy Story (1995)", "Alien: Resurrection, Á (1997)", "Odd"]
    assert dataset.texts("text") == [
        "Toy Story (1995): Animation, Comedy",
        "Alien: Resurrection, Á (1997): Action",
        "Odd",
    ]
    assert rows(dataset) == [("1", "1", 3, 978300759), ("1", "2", 5, 978300760), ("6040", "1", 0.5, 956704746)]


def test_20m_and_later(folder: Path) -> None:
    of_20m(folder)
    (folder / "links.csv").write_text("movieId,imdbId,tmdbId\n")
    dataset = run(folder, min_rating=3, text="{plain_title}|{year}")
    assert dataset.titles == [
        "Toy Story (1995)",
        "American President, The (1995)",
        '"11\'09"01 - September 11 (2002)',
        "Closed Curtain (2013–2015) ",
    ]
    assert dataset.texts("text") == [
        "Toy Story|1995",
        "American President, The|1995",
        '"11\'09"01 - September 11|2002',
        "Closed Curtain|2013",
    ]
    assert rows(dataset) == [("1", "1", 5, 1112484676), ("1", "11", 3.5, 1112486027)]
    assert dataset.manifest.source.dropped == {"below_min_rating": 1}
    assert dataset.manifest.source.options["min_rating"] == 3


@pytest.mark.parametrize(
    ("title", "year"),
    [
        ("Toy Story (1995)", "1995"),
        ("2001: A Space Odyssey (1968)", "1968"),
        ("Babylon 5", None),
        ("Shanghai Triad (Yao a yao) (1995)", "1995"),
        ("Big Bang Theory, The (2007-)", "2007"),
        ("Fawlty Towers (1975-1979)", "1975"),
        ("(500) Days of Summer (2009) ", "2009"),
        ("Death Note: Desu nôto (2006–2007)", "2006"),
        ("Remake (1960) (1995) (TV)", "1995"),
        ("Number (12345)", None),
    ],
)
def test_years(title: str, year: str | None) -> None:
    assert year_of(title) == year


def test_posters(folder: Path, tmp_path: Path) -> None:
    of_1m(folder)
    (folder / "posters").mkdir()
    Image.new("RGB", (4, 4)).save(folder / "posters" / "2.png")
    Image.new("RGB", (4, 4)).save(folder / "posters" / "9.jpg")
    found = run(folder)
    assert [path is not None for path in found.image_paths("image")] == [False, True, False]
    assert found.modalities == {"text": "text", "image": "image"}
    assert run(folder, pictures=None, overwrite=True).modalities == {"text": "text"}
    (folder / "posters").rename(tmp_path / "elsewhere")
    only = run(folder, pictures=tmp_path / "elsewhere", text="", overwrite=True)
    assert only.modalities == {"image": "image"}
    assert only.titles[0] == "Toy Story (1995)"


def replaced(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / name
        content = path.read_bytes().replace(old.encode("latin-1"), new.encode("latin-1"), 1)
        path.write_bytes(content)

    return change


def removed(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def nothing(folder: Path) -> None:
    del folder


@pytest.mark.parametrize(
    ("layout", "change", "options", "words"),
    [
        (nothing, nothing, {}, ["no layout of MovieLens", "ratings.dat"]),
        (of_100k, of_1m, {}, ["more than one layout"]),
        (of_100k, removed("u.genre"), {}, ["there is no u.genre", "u.item"]),
        (of_20m, removed("movies.csv"), {}, ["there is no movies.csv", "ratings.csv"]),
        (of_100k, replaced("u.item", "|0|0|1|0|0", "|0|0|2|0|0"), {}, ["u.item, line 2", "5 genres"]),
        (of_100k, replaced("u.item", "267|unknown|", "267|un|known|"), {}, ["u.item, line 3"]),
        (of_100k, replaced("u.genre", GENRES, "\n"), {}, ["u.genre", "no genre"]),
        (of_100k, replaced("u.data", "\t3\t891", "\tx\t891"), {}, ["u.data, line 2", "'x'"]),
        (of_100k, replaced("u.data", "186\t1\t", "186\t"), {}, ["u.data, line 2", "3 fields instead of 4"]),
        (of_1m, replaced("movies.dat", "::Action", ":Action"), {}, ["movies.dat, line 2", "2 fields instead of 3"]),
        (of_1m, replaced("ratings.dat", "1::1::3", "1::1"), {}, ["ratings.dat, line 2", "3 fields instead of 4"]),
        (of_1m, replaced("ratings.dat", "::3::", "::x::"), {}, ["ratings.dat, line 2", "rating 'x'"]),
        (of_1m, replaced("ratings.dat", "978300759", "soon"), {}, ["ratings.dat, line 2", "timestamp 'soon'"]),
        (of_1m, replaced("ratings.dat", "1::1::3", "1:x::1::3"), {}, ["ratings.dat, line 2", "colon"]),
        (of_1m, replaced("ratings.dat", "1::1::3::", "1:a:1:b:3:c:"), {}, ["line 2", "1 fields instead of 4"]),
        (of_1m, replaced("ratings.dat", "1::1::3", "::1::3"), {}, ["ratings.dat, line 2", "user id is blank"]),
        (of_1m, replaced("ratings.dat", "1::1::3", "1::1::"), {}, ["ratings.dat, line 2", "rating"]),
        (of_1m, replaced("ratings.dat", RATINGS_DAT, ""), {}, ["ratings.dat", "empty"]),
        (of_1m, replaced("movies.dat", "3::Odd", "1::Odd"), {}, ["movies.dat, line 3", "'1' is there already"]),
        (of_1m, replaced("ratings.dat", "6040::1", "6040::77"), {}, ["'77'", "unknown_items=drop"]),
        (of_20m, replaced("movies.csv", "movieId", "id"), {}, ["movies.csv", "'movieId'"]),
        (of_20m, replaced("ratings.csv", "timestamp", "time"), {}, ["ratings.csv", "'timestamp'"]),
        (of_20m, replaced("movies.csv", "11,", "1,"), {}, ["movies.csv, line 3", "'1' is there already"]),
        (of_20m, nothing, {"text": "{director}"}, ["'director'", "plain_title"]),
        (of_20m, nothing, {"text": ""}, ["neither text nor pictures"]),
        (of_20m, nothing, {"pictures": Path("nowhere")}, ["nowhere", "does not exist"]),
    ],
)
def test_bad_folders(
    folder: Path,
    layout: Callable[[Path], None],
    change: Callable[[Path], None],
    options: dict[str, object],
    words: list[str],
) -> None:
    layout(folder)
    change(folder)
    with pytest.raises(UserError) as caught:
        run(folder, **options)
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert "\n" not in message
    assert sorted(path.name for path in folder.parent.iterdir()) == ["ml"]
