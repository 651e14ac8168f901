"""Items that were added to a model after its training, and the Parquet file that one addition is kept in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from iisan.errors import UserError
from iisan.models.added_facts import AddedFacts, fact_columns, facts_of

VERSION = 1
_VERSION_KEY, _MODEL_KEY = b"iisan.additions.version", b"iisan.additions.model"
# Followed by the name of a modality.
HASH_PREFIX = "content_hash."
_FIELDS = {"item_id": pa.string(), "title": pa.string(), "recommendable": pa.bool_(), "removed": pa.bool_()}


@dataclass(frozen=True, eq=False)
class AddedItems:
    """``n`` statements about items, each id once; a later statement about the same item replaces an earlier one.

    Attributes:
        item_ids: ``n`` ids.
        titles: As many titles, None where an item has none.
        embeddings: ``[n, d]`` fp32; zeros for what is removed.
        recommendable: ``[n]`` bool, False for items that must not be offered.
        removed: ``[n]`` bool, True where the item is taken back: it may stand in histories and is never offered.
        hashes: Content hash of each item by modality, None where it lacks the modality.
        facts: Facts about items, by position.
    """

    item_ids: Sequence[str]
    titles: Sequence[str | None]
    embeddings: Tensor
    recommendable: Tensor
    removed: Tensor
    hashes: Mapping[str, Sequence[str | None]]
    facts: Mapping[int, AddedFacts] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.item_ids)

    @classmethod
    def new(
        cls,
        item_ids: Sequence[str],
        titles: Sequence[str | None],
        embeddings: Tensor,
        hashes: Mapping[str, Sequence[str | None]],
        facts: Mapping[int, AddedFacts] | None = None,
    ) -> AddedItems:
        """Items that are to be offered."""
        offered = torch.ones(len(item_ids), dtype=torch.bool)
        return cls(item_ids, titles, embeddings, offered, ~offered, hashes, facts or {})

    @classmethod
    def removal(cls, item_ids: Sequence[str], dim: int) -> AddedItems:
        """The statement that items of a model of width `dim` are taken back."""
        removed = torch.ones(len(item_ids), dtype=torch.bool)
        return cls(item_ids, [None] * len(item_ids), torch.zeros(len(item_ids), dim), ~removed, removed, {})


def write_added(path: Path, items: AddedItems, model: str) -> None:
    """Writes one addition as Parquet, with a checksum for each page.

    Args:
        path: The file.
        items: What to write.
        model: Fingerprint of the model that made the embeddings.
    """
    values = items.embeddings.detach().cpu().float().contiguous().numpy()
    columns = {
        "item_id": pa.array(items.item_ids, pa.string()),
        "title": pa.array(items.titles, pa.string()),
        "recommendable": pa.array(items.recommendable.cpu().numpy(), pa.bool_()),
        "removed": pa.array(items.removed.cpu().numpy(), pa.bool_()),
        **hash_columns({name: pa.array(values, pa.string()) for name, values in items.hashes.items()}),
        **fact_columns({at: one for at, one in items.facts.items() if one}, len(items)),
        "embedding": pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1), pa.float32()), values.shape[1]),
    }
    metadata = {_VERSION_KEY: str(VERSION).encode(), _MODEL_KEY: model.encode()}
    table = pa.table(columns).replace_schema_metadata(metadata)
    # Ids, hashes and embeddings hardly repeat, so a dictionary would save nothing; nobody asks for a range of them.
    pq.write_table(table, path, use_dictionary=False, write_statistics=False, write_page_checksum=True)


def read_added(path: Path, model: str, dim: int) -> AddedItems:
    """Reads one addition.

    Args:
        path: The file.
        model: Fingerprint of the model that it must belong to.
        dim: ``d``.

    Raises:
        UserError: The file is damaged, of a newer version, or belongs to another model.
    """
    try:
        table = pq.read_table(path, page_checksum_verification=True)
        table.validate(full=True)
    except (OSError, UnicodeError, pa.ArrowException) as error:
        raise _damaged(path, (str(error).splitlines() or [type(error).__name__])[0]) from error
    _refuse_other(path, table.schema.metadata or {}, model)
    fields = {**_FIELDS, "embedding": pa.list_(pa.float32(), dim)}
    for name, kind in fields.items():
        if name not in table.column_names or table.schema.field(name).type != kind:
            raise _damaged(path, f"no column {name!r} of {kind}")
    item_ids = table["item_id"].to_pylist()
    flat = table["embedding"].combine_chunks().flatten().to_numpy(zero_copy_only=False).copy()
    embeddings = torch.from_numpy(flat).view(-1, dim)
    whole = None not in item_ids and len(set(item_ids)) == len(item_ids) == len(embeddings)
    if not whole or not bool(embeddings.isfinite().all()):
        raise _damaged(path, "ids or embeddings are missing, or an id occurs twice")
    recommendable, removed = (
        torch.from_numpy(table[name].to_numpy().astype(bool)) for name in ("recommendable", "removed")
    )
    try:
        hashes = {name: column.to_pylist() for name, column in hashes_of(table).items()}
        facts = facts_of(table)
    except ValueError as error:
        raise _damaged(path, str(error)) from error
    return AddedItems(item_ids, table["title"].to_pylist(), embeddings, recommendable, removed, hashes, facts)


def ids_of(path: Path, model: str) -> pa.ChunkedArray:
    """The ids of one addition, without reading the rest of it; errors as of :func:`read_added`."""
    try:
        table = pq.read_table(path, columns=["item_id"], page_checksum_verification=True)
    except (OSError, pa.ArrowException) as error:
        raise _damaged(path, (str(error).splitlines() or [type(error).__name__])[0]) from error
    _refuse_other(path, table.schema.metadata or {}, model)
    return table["item_id"]


def model_of(path: Path) -> str | None:
    """Fingerprint of the model that an addition belongs to; None where the file does not say."""
    try:
        metadata = pq.read_schema(path).metadata or {}
    except (OSError, pa.ArrowException):
        return None
    return metadata[_MODEL_KEY].decode("ascii", "replace") if _MODEL_KEY in metadata else None


def hash_columns(hashes: Mapping[str, Any]) -> dict[str, Any]:
    """Columns of content hashes by modality, under the names that they have in a table."""
    return {HASH_PREFIX + name: column for name, column in hashes.items()}


def hashes_of(table: pa.Table) -> dict[str, pa.ChunkedArray]:
    """The columns of content hashes that a table has, by modality.

    Raises:
        ValueError: One holds no texts.
    """
    names = [name for name in table.column_names if name.startswith(HASH_PREFIX)]
    if any(table[name].type != pa.string() for name in names):
        raise ValueError("content hashes are no texts")
    return {name.removeprefix(HASH_PREFIX): table[name] for name in names}


def _refuse_other(path: Path, metadata: Mapping[bytes, bytes], model: str) -> None:
    version, its_model = metadata.get(_VERSION_KEY, b""), metadata.get(_MODEL_KEY, b"")
    if not version.isdigit():
        raise _damaged(path, "it is no addition to a model")
    if int(version) > VERSION:
        raise UserError(
            f"additions of version {version.decode()} are not known (this version reads {VERSION})",
            where=str(path),
            how="upgrade iisan",
        )
    if its_model.decode("ascii", "replace") != model:
        raise UserError(
            "these items were added to a model with other weights",
            where=str(path),
            how=f"remove the folder {path.parent.name} and add the items again",
        )


def _damaged(path: Path, reason: str) -> UserError:
    return UserError(
        f"the items added here cannot be read ({reason})",
        where=str(path),
        how="restore the file, or remove it and those with higher numbers and add the items again",
    )
