"""Search by title against reading every title."""

from __future__ import annotations

import re
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iisan.serving import title_search
from iisan.serving.title_search import TitleSearch, query_words

WORDS = ["red", "Réd", "redder", "RE", "blue", "blüe", "blu", "x", "Straße", "STRASSE", "42", "日本", "don't"]
titles_of = st.lists(st.sampled_from(WORDS), max_size=4).map(" - ".join)


def plain(text: str) -> list[str]:
    """Words of a text, letter by letter."""
    text = unicodedata.normalize("NFKD", text).casefold().replace("'", "")
    return re.findall(r"\w+", "".join(letter for letter in text if not unicodedata.combining(letter)))


def fits(title: str, query: str) -> tuple[bool, bool, bool]:
    words, wanted = plain(title), plain(query)
    every = all(any(word.startswith(one) for word in words) for one in wanted)
    begins = bool(words) and words[0].startswith(wanted[0])
    return every, begins, all(one in words for one in wanted)


def by_reading(titles: list[str], hidden: np.ndarray, popularity: np.ndarray, query: str) -> list[int]:
    found = []
    for row, title in enumerate(titles):
        every, begins, whole = fits(title, query)
        if every and not hidden[row]:
            found.append((-(2 * begins + whole), -popularity[row], row))
    return [row for *_, row in sorted(found)]


@settings(max_examples=100, deadline=None)
@given(
    titles=st.lists(titles_of, min_size=1, max_size=30),
    query=st.lists(st.sampled_from([*WORDS, "r", "b", "s"]), min_size=1, max_size=3).map(" ".join),
    limit=st.integers(1, 10),
    seed=st.integers(0, 1000),
)
def test_found_are_the_titles_that_fit_in_order(titles: list[str], query: str, limit: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    hidden, popularity = random.random(len(titles)) < 0.2, random.integers(0, 4, size=len(titles))
    ids = [f"zz{row}" for row in range(len(titles))]
    search = TitleSearch(titles, ids, hidden, popularity)
    assert search.find(query, limit) == by_reading(titles, hidden, popularity, query)[:limit]


@settings(max_examples=60, deadline=None)
@given(
    titles=st.lists(titles_of, min_size=1, max_size=20),
    steps=st.lists(st.lists(titles_of, max_size=4), max_size=3),
    query=st.sampled_from(["r", "blu", "strasse", "red blue", "4"]),
    most_later=st.sampled_from([0, 3, 1000]),
    seed=st.integers(0, 1000),
)
def test_titles_that_came_later_are_found_as_if_they_had_always_been_there(
    titles: list[str], steps: list[list[str]], query: str, most_later: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(title_search, "MOST_LATER", most_later)
        patch.setattr(title_search, "LATER_SHARE", 0.0)
        first = list(titles)
        hidden, popularity = np.zeros(len(titles), dtype=bool), np.zeros(len(titles), dtype=np.int64)
        search = opened = TitleSearch(titles, titles, hidden, popularity)
        for more in steps:
            replaced = int(random.integers(len(titles)))
            titles = [*titles, *more]
            titles[replaced] = "red later"
            changed = np.array([replaced, *range(len(titles) - len(more), len(titles))])
            hidden = np.append(hidden, np.zeros(len(more), dtype=bool))
            hidden[changed] = random.random(len(changed)) < 0.3
            popularity = np.append(popularity, np.zeros(len(more), dtype=np.int64))
            search = search.updated(titles, titles, hidden, popularity, changed)
        assert search.find(query, 50) == by_reading(titles, hidden, popularity, query)
        nothing = np.zeros(len(first), dtype=np.int64)
        assert opened.find(query, 50) == by_reading(first, nothing.astype(bool), nothing, query)


def test_a_query_without_words_finds_the_most_popular() -> None:
    search = TitleSearch(["a", "b", "c"], ["1", "2", "3"], np.array([False, True, False]), np.array([1, 9, 5]))
    assert search.find(" …!", 5) == [2, 0]
    assert search.find("", 1) == [2]
    assert search.find("nothing", 5) == []


def test_an_item_without_title_is_found_by_its_id() -> None:
    search = TitleSearch(
        [None, "", "***"], ["alpha-7", "beta", "gamma"], np.zeros(3, dtype=bool), np.zeros(3, np.int64)
    )
    assert search.find("alpha", 5) == [0]
    assert search.find("bet", 5) == [1]
    assert search.find("gamma", 5) == []


def test_long_queries_are_read_in_part() -> None:
    assert len(query_words("ab " * 100_000 + "x" * 1_000_000)) <= title_search.MOST_WORDS
    assert query_words("Élan, d’Été ELAN") == ["elan", "dete"]
    assert query_words("ab\x00cd\u200b") == query_words("ab cd")
