"""Search by title: words and beginnings of words, without regard to case and accents."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

# Words of a query that are read, and letters of each.
MOST_WORDS, MOST_LETTERS = 8, 64
# Titles that are kept beside the index, at least and as a share of the catalogue, before it is made anew.
MOST_LATER, LATER_SHARE = 5_000, 0.01
# Letters that normalisation does not take apart.
_PLAIN = {"ß": "ss", "ς": "σ", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i"}
# A title that begins with the query comes before one that has its words, and that before one that has its beginnings.
_BEGINS, _WHOLE = 2, 1

Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class TitleIndex:
    """The words of ``n`` titles, each word once, in order, with the titles that have it.

    Attributes:
        words: ``V`` distinct words, sorted as UTF-8.
        starts: ``[V + 1]`` int64, where the titles of each word begin in `postings`.
        postings: Numbers of titles, int32.
        first: ``[n]`` int32 place of each title's first word, -1 where it has none.
    """

    words: pa.Array
    starts: Rows
    postings: Codes
    first: Codes

    @classmethod
    def of(cls, titles: Sequence[str]) -> TitleIndex:
        """Reads titles."""
        lists = _words(pa.array(titles, pa.string()))
        owners = np.repeat(
            np.arange(len(titles), dtype=np.int32), pc.fill_null(pc.list_value_length(lists), 0).to_numpy()
        )
        encoded = pc.dictionary_encode(lists.flatten())
        order = pc.array_sort_indices(encoded.dictionary).to_numpy()
        place = np.empty(len(order), dtype=np.int32)
        place[order] = np.arange(len(order), dtype=np.int32)
        codes = place[encoded.indices.to_numpy()]  # [words of all titles]
        by_word = np.argsort(codes, kind="stable")
        starts = np.searchsorted(codes[by_word], np.arange(len(order) + 1))
        first = np.full(len(titles), -1, dtype=np.int32)
        first[owners[::-1]] = codes[::-1]  # the last one written is the first word
        return cls(encoded.dictionary.take(pa.array(order)), starts.astype(np.int64), owners[by_word], first)

    def matches(self, query: Sequence[str]) -> tuple[Rows, Rows]:
        """Titles in which every word of a query begins some word.

        Returns:
            Numbers of titles ``[m]``, ascending, and how well each fits ``[m]``, more being better.
        """
        n = len(self.first)
        every, whole = np.ones(n, dtype=bool), np.ones(n, dtype=bool)
        ranges = [self._range(word) for word in query]
        for low, exact, high in ranges:
            every &= self._having(low, high, n)
            whole &= self._having(low, exact, n)
        found = np.flatnonzero(every)
        low, _, high = ranges[0]
        begins = (self.first[found] >= low) & (self.first[found] < high)
        return found, _BEGINS * begins + _WHOLE * whole[found]

    def _having(self, low: int, high: int, n: int) -> Mask:
        having = np.zeros(n, dtype=bool)
        having[self.postings[self.starts[low] : self.starts[high]]] = True
        return having

    def _range(self, word: str) -> tuple[int, int, int]:
        """Words that begin with `word`: the first, the one behind the word itself, the one behind the last."""
        low = self._place(word.encode())
        is_word = low < len(self.words) and self.words[low].as_py() == word
        # No UTF-8 text has the byte 0xff, so all that begin with the word come before it.
        return low, low + is_word, self._place(word.encode() + b"\xff")

    def _place(self, key: bytes) -> int:
        low, high = 0, len(self.words)
        while low < high:
            middle = (low + high) // 2
            if self.words[middle].as_py().encode() < key:
                low = middle + 1
            else:
                high = middle
        return low


class TitleSearch:
    """Search among the titles of a catalogue; titles that came later are kept beside its index until there are many.

    Args:
        titles: ``N`` titles; an item without one is found by its id.
        item_ids: ``N`` ids.
        hidden: ``[N]`` bool, True for items that are not to be found.
        popularity: ``[N]``, more popular items come first among those that fit as well.
    """

    def __init__(self, titles: Sequence[str | None], item_ids: Sequence[str], hidden: Mask, popularity: Rows) -> None:
        self._main = TitleIndex.of(_texts(titles, item_ids, range(len(titles))))
        self._later_rows: Rows = np.empty(0, dtype=np.int64)
        self._later = TitleIndex.of([])
        self._set_order(hidden, popularity)

    def updated(
        self,
        titles: Sequence[str | None],
        item_ids: Sequence[str],
        hidden: Mask,
        popularity: Rows,
        changed: Rows,
    ) -> TitleSearch:
        """The search of the catalogue as it is now; this one stays as it is.

        Args:
            titles: All titles, as many as before or more.
            item_ids: All ids.
            hidden: As at the start.
            popularity: As at the start.
            changed: Catalogue rows whose title is new.
        """
        later = np.union1d(self._later_rows, changed)
        if len(later) > max(MOST_LATER, LATER_SHARE * len(titles)):
            return TitleSearch(titles, item_ids, hidden, popularity)
        twin = copy.copy(self)
        twin._later_rows = later
        twin._later = TitleIndex.of(_texts(titles, item_ids, later.tolist()))
        twin._set_order(hidden, popularity)
        return twin

    def _set_order(self, hidden: Mask, popularity: Rows) -> None:
        order = np.argsort(-popularity, kind="stable")
        self._standing = np.empty(len(order), dtype=np.int64)  # [N], 0 for the most popular
        self._standing[order] = np.arange(len(order))
        self._popular = order[~hidden[order]]
        self._hidden = hidden
        n_main = len(self._main.first)
        self._main_hidden = hidden[:n_main].copy()
        self._main_hidden[self._later_rows[self._later_rows < n_main]] = True

    def find(self, query: str, limit: int) -> list[int]:
        """Catalogue rows of at most `limit` items, best first; the most popular for a query without words."""
        words = query_words(query)
        if not words:
            popular: list[int] = self._popular[:limit].tolist()
            return popular
        rows, fit = self._main.matches(words)
        shown = ~self._main_hidden[rows]
        later, later_fit = self._later.matches(words)
        later_rows = self._later_rows[later]
        later_shown = ~self._hidden[later_rows]
        found = np.concatenate([rows[shown], later_rows[later_shown]])
        key = self._standing[found] - np.concatenate([fit[shown], later_fit[later_shown]]) * len(self._standing)
        if len(found) > limit:
            best = np.argpartition(key, limit)[:limit]
            found, key = found[best], key[best]
        rows_found: list[int] = found[np.argsort(key)].tolist()
        return rows_found


def _texts(titles: Sequence[str | None], item_ids: Sequence[str], rows: Iterable[int]) -> list[str]:
    return [titles[row] or item_ids[row] for row in rows]


def query_words(query: str) -> list[str]:
    """The distinct words of a query as titles are read; those beyond the first few are not looked for."""
    [words] = _words(pa.array([query[: 4 * MOST_WORDS * MOST_LETTERS]], pa.string())).to_pylist()
    return list(dict.fromkeys(word[:MOST_LETTERS] for word in words or []))[:MOST_WORDS]


def _words(texts: pa.Array) -> pa.ListArray:
    """Words of texts: compatible forms made one, in lower case, without accents."""
    texts = pc.utf8_lower(pc.utf8_normalize(texts, form="NFKD"))
    texts = pc.replace_substring_regex(texts, r"[\x{0300}-\x{036f}'’]", "")
    for letter, plain in _PLAIN.items():
        texts = pc.replace_substring(texts, letter, plain)
    texts = pc.utf8_trim(pc.replace_substring_regex(texts, r"[^\pL\pN\pM]+", " "), " ")
    return pc.split_pattern(pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts), " ")
