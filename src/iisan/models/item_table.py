"""The item table: what a trained model knows of its catalogue, enough to recommend without the dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from iisan.errors import UserError
from iisan.models.added_facts import AddedFacts, fact_columns, facts_of
from iisan.models.added_items import AddedItems, hash_columns, hashes_of
from iisan.models.additions import ABSORBED_KEY, Additions
from iisan.models.file_names import EMBEDDINGS, ITEMS
from iisan.models.picture_store import PictureStore
from iisan.states.atomic import replacing
from iisan.states.tensor_file import save_tensors

# The content hash of an item that was saved without one: equal to no hash, and not the same as having no content.
UNKNOWN_HASH = ""


class ItemTable:
    """Ids, titles and embeddings of a catalogue, row by row.

    Args:
        item_ids: ``N`` ids; the position is the catalogue row.
        titles: As many titles, None where an item has none.
        embeddings: ``[N, d]`` fp32.
        recommendable: ``[N]`` bool, False for items that must not be offered (without content, never learned, or taken
            back).
        hashes: Content hash of each item by modality, None where it lacks the modality; empty where none were recorded.
        removed: ``[N]`` bool, True for items that were taken back; none by default.
        last_addition: Number of the last addition (see :class:`~iisan.models.additions.Additions`) that is in here.
        facts: Facts about items that were added, by row; empty ones where an item was added or taken back without any.
        row_of: Row of each id, where the caller has it already: to make it of a million ids halts all other threads.
        pictures: Where the pictures are that `facts` name; None where that is not known.
    """

    def __init__(
        self,
        item_ids: Sequence[str],
        titles: Sequence[str | None],
        embeddings: Tensor,
        recommendable: Tensor,
        hashes: Mapping[str, Sequence[str | None] | pa.ChunkedArray] | None = None,
        removed: Tensor | None = None,
        last_addition: int = 0,
        facts: Mapping[int, AddedFacts] | None = None,
        row_of: dict[str, int] | None = None,
        pictures: PictureStore | None = None,
    ) -> None:
        # Arrow columns: as Python texts, those of a million items would take as long to read as all the rest.
        self._hashes = {name: _as_column(values) for name, values in (hashes or {}).items()}
        self.removed = torch.zeros(len(item_ids), dtype=torch.bool) if removed is None else removed
        sizes = {len(titles), len(embeddings), len(recommendable), len(self.removed), *map(len, self._hashes.values())}
        if sizes != {len(item_ids)}:
            raise ValueError("item_ids, titles, embeddings, recommendable, hashes and removed differ in length")
        self.item_ids = list(item_ids)
        self.titles = list(titles)
        self.embeddings = embeddings
        self.recommendable = recommendable
        self.last_addition = last_addition
        self.facts: Mapping[int, AddedFacts] = dict(facts or {})
        self.pictures = pictures
        self._row = dict(zip(self.item_ids, range(len(self.item_ids)), strict=True)) if row_of is None else row_of
        if len(self._row) != len(self.item_ids):
            raise ValueError("an item id occurs twice")

    def __len__(self) -> int:
        return len(self.item_ids)

    def row(self, item_id: str) -> int | None:
        """The catalogue row of an item, or None where it is unknown."""
        return self._row.get(item_id)

    @property
    def hashes(self) -> dict[str, list[str | None]]:
        """Content hash of each item by modality, as plain lists; empty where none were recorded."""
        return {name: column.to_pylist() for name, column in self._hashes.items()}

    def content_hash(self, modality: str, row: int) -> str | None:
        """Content hash of one item, None where it lacks the modality, `UNKNOWN_HASH` where none was recorded."""
        if modality not in self._hashes:
            return UNKNOWN_HASH
        found: str | None = self._hashes[modality][row].as_py()
        return found

    def with_additions(self, additions: Sequence[AddedItems]) -> ItemTable:
        """A table with the next additions in it; this one stays as it is.

        An item that is here keeps its row, a new one gets the next.

        Args:
            additions: Those that follow :attr:`last_addition`, in order.
        """
        if not additions:
            return self
        row_of, titles = dict(self._row), list(self.titles)
        for added in additions:
            for item_id in added.item_ids:
                row_of.setdefault(item_id, len(row_of))
        n = len(row_of)
        titles += [None] * (n - len(titles))
        embeddings, recommendable, removed = (
            torch.cat([old, old.new_zeros(n - len(old), *old.shape[1:])])
            for old in (self.embeddings, self.recommendable, self.removed)
        )
        names = {name for added in additions for name in added.hashes} | set(self._hashes)
        stated: dict[str, dict[int, str | None]] = {name: {} for name in sorted(names)}
        facts = dict(self.facts)
        for added in additions:
            rows = torch.tensor([row_of[item_id] for item_id in added.item_ids], dtype=torch.long)
            present = ~added.removed
            facts |= {row: AddedFacts() for row in rows[added.removed].tolist()}
            embeddings[rows[present]] = added.embeddings[present].to(embeddings)
            recommendable[rows] = (added.recommendable & present).to(recommendable.device)
            removed[rows] = added.removed.to(removed.device)
            for position in present.nonzero().flatten().tolist():
                row = int(rows[position])
                titles[row] = added.titles[position]
                facts[row] = added.facts.get(position, AddedFacts())
                for name, values in stated.items():
                    values[row] = added.hashes[name][position] if name in added.hashes else None
        hashes = {name: _with_stated(self._hashes.get(name), values, len(self), n) for name, values in stated.items()}
        last = self.last_addition + len(additions)
        return ItemTable(
            list(row_of), titles, embeddings, recommendable, hashes, removed, last, facts, row_of, self.pictures
        )

    @property
    def shown(self) -> set[str]:
        """Names of the pictures of items that were added."""
        return {one.picture for one in self.facts.values() if one.picture is not None}

    def save(self, folder: Path) -> None:
        """Writes ``items.parquet`` and ``item_embeddings.safetensors``, additions included, and their pictures.

        Raises:
            UserError: A picture cannot be written.
        """
        if self.pictures is not None:
            self.pictures.copy_to(folder, self.shown)
        columns = {
            "item_id": pa.array(self.item_ids, pa.string()),
            "title": pa.array(self.titles, pa.string()),
            "recommendable": pa.array(self.recommendable.cpu().numpy(), pa.bool_()),
            "removed": pa.array(self.removed.cpu().numpy(), pa.bool_()),
            **hash_columns(self._hashes),
            **fact_columns(self.facts, len(self)),
        }
        table = pa.table(columns)
        if self.last_addition:
            table = table.replace_schema_metadata({ABSORBED_KEY: str(self.last_addition).encode()})
        # By renaming: the file that is there may be mapped into the memory of who loaded it, this table included.
        with replacing(folder / EMBEDDINGS) as draft:
            save_tensors({"embeddings": self.embeddings.float()}, draft)
        with replacing(folder / ITEMS) as draft:
            pq.write_table(table, draft, compression="zstd")

    @classmethod
    def load(cls, folder: Path) -> ItemTable | None:
        """Reads what :meth:`save` wrote and what was added since; None where a model was saved without a table.

        Raises:
            UserError: A file is unreadable, or they do not belong together.
        """
        if not (folder / ITEMS).exists():
            return None
        saved = cls._load_saved(folder)
        if saved.embeddings.dim() != 2:
            raise _unreadable(folder, "the embeddings are no table")
        return saved.with_additions(Additions(folder).read(saved.last_addition, saved.embeddings.shape[1]))

    @classmethod
    def _load_saved(cls, folder: Path) -> ItemTable:
        try:
            table = pq.read_table(folder / ITEMS)
            embeddings = load_file(folder / EMBEDDINGS)["embeddings"]
            recommendable = torch.from_numpy(table["recommendable"].to_numpy().copy())
            # Tables of before there were additions have neither this column nor hashes.
            removed = torch.from_numpy(table["removed"].to_numpy().copy()) if "removed" in table.column_names else None
            return cls(
                table["item_id"].to_pylist(),
                table["title"].to_pylist(),
                embeddings,
                recommendable,
                hashes_of(table),
                removed,
                int((table.schema.metadata or {}).get(ABSORBED_KEY, b"0")),
                facts_of(table),
                pictures=PictureStore(folder),
            )
        except (OSError, KeyError, TypeError, ValueError, pa.ArrowException, SafetensorError) as error:
            raise _unreadable(folder, str(error)) from error


def _as_column(values: Sequence[str | None] | pa.ChunkedArray) -> pa.ChunkedArray:
    return values if isinstance(values, pa.ChunkedArray) else pa.chunked_array([pa.array(values, pa.string())])


def _with_stated(
    column: pa.ChunkedArray | None, stated: Mapping[int, str | None], n_before: int, n: int
) -> pa.ChunkedArray:
    """A column of ``n_before`` hashes with others at some rows, and ``n - n_before`` further ones."""
    if column is None:
        column = _as_column([UNKNOWN_HASH] * n_before)
    replaced = sorted(row for row in stated if row < n_before)
    if replaced:
        mask = np.zeros(n_before, dtype=bool)
        mask[replaced] = True
        values = pa.array([stated[row] for row in replaced], pa.string())
        column = pc.replace_with_mask(column, pa.array(mask), values)
    further = pa.array([stated.get(row) for row in range(n_before, n)], pa.string())
    return pa.chunked_array([*column.chunks, further])


def _unreadable(folder: Path, reason: str) -> UserError:
    return UserError(
        f"the item table cannot be read ({reason})",
        where=str(folder),
        how="save the model again or copy its folder whole",
    )
