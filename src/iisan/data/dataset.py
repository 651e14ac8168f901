"""A dataset folder, opened: catalogue, modalities and log."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from iisan.data.checksum import sha256_of_file
from iisan.data.interactions import Interactions, Rows
from iisan.data.manifest import (
    INTERACTIONS_FILE,
    ITEMS_FILE,
    MEDIA_FILE,
    MEDIA_FOLDER,
    TABLE_FILES,
    USERS_FILE,
    DatasetManifest,
    ModalityKind,
    read_manifest,
)
from iisan.data.media_paths import BadMediaError, locate_media
from iisan.errors import UserError


class Dataset:
    """A dataset folder; opening reads the manifest, each table is read when first asked for.

    Attributes:
        path: The folder.
        manifest: What ``dataset.json`` says.
    """

    def __init__(self, path: Path, manifest: DatasetManifest) -> None:
        self.path = path
        self.manifest = manifest

    @classmethod
    def open(cls, path: Path | str) -> Dataset:
        """Open a dataset folder.

        Raises:
            UserError: It is no dataset, of a newer version, or files are missing.
        """
        folder = Path(path)
        manifest = read_manifest(folder)
        missing = [name for name in TABLE_FILES if not (folder / name).is_file()]
        if missing:
            raise UserError(f"the dataset lacks {', '.join(missing)}", where=str(folder), how="import the data again")
        return cls(folder, manifest)

    @property
    def name(self) -> str:
        """Display name."""
        return self.manifest.name

    @property
    def modalities(self) -> dict[str, ModalityKind]:
        """Kind of each modality by name."""
        return dict(self.manifest.modalities)

    @property
    def n_items(self) -> int:
        """Size N of the catalogue."""
        return self.manifest.counts.items

    @property
    def n_users(self) -> int:
        """Number of users in the log."""
        return self.manifest.counts.users

    @cached_property
    def item_ids(self) -> list[str]:
        """Item ids ``[N]``; the position of an item is its row."""
        ids = self._item_column("item_id")
        if None in ids:
            raise self._damaged(ITEMS_FILE)
        return [one for one in ids if one is not None]

    @cached_property
    def titles(self) -> list[str | None]:
        """Display titles ``[N]``, None where unknown."""
        return self._item_column("title")

    @cached_property
    def user_ids(self) -> list[str]:
        """User ids ``[U]`` by first appearance in the log; the position of a user is its row."""
        ids: list[str] = self._table(USERS_FILE, ["user_id"]).column("user_id").to_pylist()
        if len(ids) != self.n_users or None in ids:
            raise self._damaged(USERS_FILE)
        return ids

    def texts(self, modality: str) -> list[str | None]:
        """Texts ``[N]`` of a text modality, None where an item has none.

        Raises:
            UserError: There is no such text modality.
        """
        self._require(modality, "text")
        return self._item_column(modality)

    def image_paths(self, modality: str, rows: Sequence[int] | None = None) -> list[Path | None]:
        """Absolute paths ``[N]`` of an image modality, None where an item has none; all lie inside the folder.

        Args:
            modality: Its name.
            rows: ``[n]`` catalogue rows of the items asked for; by default all.

        Raises:
            UserError: There is no such image modality, a file is missing, or a path or symbolic link leads out.
        """
        self._require(modality, "image")
        root = self.path.resolve()
        found: dict[str, Path] = {}
        paths: list[Path | None] = []
        column = self._item_column(modality)
        for reference in column if rows is None else [column[row] for row in rows]:
            if reference is not None and reference not in found:
                found[reference] = self._media_path(root, reference)
            paths.append(None if reference is None else found[reference])
        return paths

    def image_references(self, modality: str) -> pa.ChunkedArray:
        """What the items table says of an image modality ``[N]``, null where an item has none; no file is looked at.

        Raises:
            UserError: There is no such image modality.
        """
        self._require(modality, "image")
        return self._item_array(modality)

    def media_path(self, reference: str) -> Path:
        """Absolute path of what a reference of an image modality names; it lies inside the folder.

        Raises:
            UserError: The file is missing, or the path or a symbolic link leads out.
        """
        return self._media_path(self.path.resolve(), reference)

    def having(self, modality: str) -> list[bool]:
        """Which items ``[N]`` have a modality; no file of it is looked at.

        Raises:
            UserError: There is no such modality.
        """
        if modality in self.manifest.modalities:
            return [value is not None for value in self._item_column(modality)]
        there = ", ".join(self.manifest.modalities) or "none"
        raise UserError(f"no modality {modality!r}", where=str(self.path), how=f"there are: {there}")

    def attribute(self, name: str) -> list[str | None]:
        """A further item column ``[N]``, as text.

        Raises:
            UserError: It was not kept at import.
        """
        values: list[str | None] = self.attribute_array(name).to_pylist()
        return values

    def attribute_array(self, name: str) -> pa.ChunkedArray:
        """The same as an Arrow column, which of a million items is a tenth of the work."""
        if name not in self.manifest.attributes:
            kept = ", ".join(self.manifest.attributes) or "none"
            raise UserError(f"no attribute {name!r}", where=str(self.path), how=f"kept at import: {kept}")
        return self._item_array(name)

    @cached_property
    def interactions(self) -> Interactions:
        """The log, sorted by user (first appearance), time, ties by row order.

        Raises:
            UserError: The table is damaged.
        """
        table = self._table(INTERACTIONS_FILE, None)
        sound = all(
            column.null_count == 0 and (pa.types.is_integer(column.type) or pa.types.is_floating(column.type))
            for column in table.columns
        )
        if table.num_rows != self.manifest.counts.interactions or not sound:
            raise self._damaged(INTERACTIONS_FILE)
        optional = [
            table.column(name).to_numpy() if name in table.column_names else None for name in ("timestamp", "rating")
        ]
        log = Interactions(
            table.column("user").to_numpy().astype(np.int64),
            table.column("item").to_numpy().astype(np.int64),
            optional[0],
            optional[1],
            n_users=self.n_users,
            n_items=self.n_items,
        )
        log.check(where=str(self.path / INTERACTIONS_FILE))
        return log

    def rows_of(self, ids: Iterable[str]) -> Rows:
        """Catalogue rows of item ids, int64, -1 for an id that the catalogue lacks."""
        return np.fromiter((self._row_by_id.get(one, -1) for one in ids), dtype=np.int64)

    def verify(self) -> None:
        """Read everything and compare it with the checksums.

        Raises:
            UserError: A table or media file is missing, changed or damaged; the first one is named.
        """
        for name in TABLE_FILES:
            self._compare(self.path / name, self.manifest.sha256.get(name))
        media = self._table(MEDIA_FILE, ["path", "sha256"])
        digests = dict(zip(media.column("path").to_pylist(), media.column("sha256").to_pylist(), strict=True))
        root = self.path.resolve()
        for path, digest in digests.items():
            self._compare(self._media_path(root, path), digest)
        images = [name for name, kind in self.modalities.items() if kind == "image"]
        if not {path for name in images for path in self._item_column(name) if path is not None} <= digests.keys():
            raise self._damaged(MEDIA_FILE)

    def _compare(self, path: Path, digest: str | None) -> None:
        try:
            actual = sha256_of_file(path)
        except OSError as error:
            raise UserError(f"the file cannot be read ({error.strerror})", where=str(path)) from error
        if actual != digest:
            raise UserError("the file does not match its checksum", where=str(path), how="import the data again")

    @cached_property
    def _row_by_id(self) -> dict[str, int]:
        return {item_id: row for row, item_id in enumerate(self.item_ids)}

    def _require(self, modality: str, kind: ModalityKind) -> None:
        if self.manifest.modalities.get(modality) != kind:
            there = ", ".join(f"{name} ({its})" for name, its in self.manifest.modalities.items()) or "none"
            raise UserError(f"no {kind} modality {modality!r}", where=str(self.path), how=f"there are: {there}")

    def _media_path(self, root: Path, reference: str) -> Path:
        try:
            path = locate_media(root, reference)
        except BadMediaError as bad:
            raise UserError(bad.detail, where=str(self.path), how="import the data again") from bad
        if not path.is_relative_to(root / MEDIA_FOLDER):
            raise UserError(f"{reference!r} is outside {MEDIA_FOLDER}/", where=str(self.path), how="import it again")
        return path

    def _item_column(self, name: str) -> list[str | None]:
        values: list[str | None] = self._item_array(name).to_pylist()
        return values

    def _item_array(self, name: str) -> pa.ChunkedArray:
        column = self._table(ITEMS_FILE, [name]).column(name)
        if len(column) != self.n_items or not pa.types.is_string(column.type):
            raise self._damaged(ITEMS_FILE)
        return column

    def _table(self, name: str, columns: list[str] | None) -> pa.Table:
        try:
            table = pq.read_table(self.path / name, columns=columns)
            table.validate(full=True)
        except (OSError, UnicodeError, pa.ArrowException) as error:
            raise self._damaged(name) from error
        required = columns or ["user", "item"]
        if not set(required) <= set(table.column_names):
            raise self._damaged(name)
        return table

    def _damaged(self, name: str) -> UserError:
        return UserError(
            "the file does not match the manifest", where=str(self.path / name), how="import the data again"
        )
