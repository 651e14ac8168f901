"""`iisan import` of published layouts does what the library does."""

from __future__ import annotations

from pathlib import Path

import pytest

from iisan.data import Dataset
from tests.cli.conftest import Cli

FILES = {
    "x.inter": "user_id:token|item_id:token|rating:float|timestamp:float\nu|1|5|2\nu|2|1|1\n",
    "x.item": "item_id:token|title:token_seq\n1|One,two\n2|Three\n",
    "ratings.dat": "u::1::5::2\nu::2::1::1\n",
    "movies.dat": "1::One (1990)::Drama\n2::Three (1991)::Comedy\n",
    "m.jsonl": '{"parent_asin": "1", "title": "One", "details": {}}\n{"parent_asin": "2", "title": "Three"}\n',
    "a, b.csv": "user_id,parent_asin,rating,timestamp\nu,1,5,2\n",
    "c.csv": "user_id,parent_asin,rating,timestamp\nu,2,1,1\n",
    "M_pairs.csv": "user,item,timestamp\nu,1,2\nu,2,1\n",
    "M_titles.csv": "item,title\n1,One\n2,Three\n",
    "M_likes_and_views.txt": "1\t5\t50\n",
}


@pytest.mark.parametrize(
    ("words", "texts"),
    [
        (
            ("recbole", "--folder", ".", "--dataset", "x", "--field-separator", "|", "--seq-separator", ","),
            ["One, two", "Three"],
        ),
        (
            ("movielens", "--folder", ".", "--text", "{plain_title}, {year}", "--pictures", "none"),
            ["One, 1990", "Three, 1991"],
        ),
        (("amazon-2023", "--meta", "m.jsonl", "--reviews", "a, b.csv", "--reviews", "c.csv"), ["One", "Three"]),
        (("microlens", "--folder", ".", "--attributes", "likes,views"), ["One", "Three"]),
    ],
    ids=lambda value: value[0],
)
def test_a_layout(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], texts: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, content in FILES.items():
        Path(name).write_text(content)
    verb, *options = words
    result = cli("import", verb, "out", *options)
    assert result.code == 0, result.err
    assert "interactions" in result.out
    dataset = Dataset.open("out")
    assert dataset.texts("text") == texts
    assert dataset.interactions.item.tolist() == [1, 0]
    assert dataset.manifest.source.importer == verb


def test_a_missing_file_is_one_line_and_code_2(cli: Cli, tmp_path: Path) -> None:
    result = cli("import", "movielens", tmp_path / "out", "--folder", tmp_path)
    assert result.code == 2
    assert len(result.error_lines) == 1
    assert "no layout of MovieLens" in result.err
