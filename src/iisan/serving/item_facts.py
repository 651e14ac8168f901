"""What is known of items besides their embeddings: attributes, pictures, how often they were chosen."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from iisan.data.dataset import Dataset
from iisan.errors import UserError
from iisan.models.item_table import ItemTable
from iisan.models.picture_store import PictureStore

Mask = npt.NDArray[np.bool_]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Attribute:
    """One attribute of ``N`` items.

    Attributes:
        codes: ``[N]`` int32 place of each item's value in `values`, -1 where it has none.
        values: The distinct values.
        places: The place of each.
    """

    codes: npt.NDArray[np.int32]
    values: Sequence[str]
    places: Mapping[str, int]

    @classmethod
    def of(cls, column: pa.ChunkedArray, rows: Rows) -> Attribute:
        """The values of a dataset's column for items by dataset row, -1 for those that it lacks."""
        encoded = pc.dictionary_encode(column.combine_chunks())
        codes = pc.fill_null(encoded.indices, -1).to_numpy().astype(np.int32)
        values = encoded.dictionary.to_pylist()
        return cls(np.append(codes, np.int32(-1))[rows], values, {value: code for code, value in enumerate(values)})

    @classmethod
    def blank(cls, n: int) -> Attribute:
        """An attribute that none of ``n`` items has."""
        return cls(np.full(n, -1, dtype=np.int32), [], {})

    def updated(self, n: int, stated: Mapping[int, str | None]) -> Attribute:
        """The attribute of ``n`` items, with other values at some rows."""
        new = [value for value in dict.fromkeys(stated.values()) if value is not None and value not in self.places]
        values, places = self.values, self.places
        if new:  # Of a million items there may be as many values; they are not copied for nothing.
            values = [*values, *new]
            places = {**places, **{value: len(places) + number for number, value in enumerate(new)}}
        codes = np.append(self.codes, np.full(n - len(self.codes), -1, dtype=np.int32))
        for row, value in stated.items():
            codes[row] = -1 if value is None else places[value]
        return Attribute(codes, values, places)

    def at(self, row: int) -> str | None:
        """The value of one item."""
        code = int(self.codes[row])
        return None if code < 0 else self.values[code]

    def having(self, values: Collection[str]) -> Mask:
        """Which items ``[N]`` have one of some values."""
        wanted = np.zeros(len(self.values) + 1, dtype=bool)  # the last one stands for no value
        wanted[[code for value in values if (code := self.places.get(value)) is not None]] = True
        return wanted[self.codes]


@dataclass(frozen=True, eq=False)
class ItemFacts:
    """Facts about the ``N`` items of an item table, by its rows.

    Attributes:
        attributes: By name.
        popularity: ``[N]`` int64, interactions in the dataset's log; 0 for items that it lacks.
        dataset: For pictures; None where it is not at hand.
        dataset_rows: ``[N]`` int64 row of each item in the dataset, -1 for those that it lacks.
        columns: What the dataset says of pictures, a column each image modality.
        store: Pictures of items that were added.
        table: The item table, which knows what came with items that were added.
    """

    attributes: Mapping[str, Attribute]
    popularity: Rows
    dataset: Dataset | None
    dataset_rows: Rows
    columns: Sequence[pa.ChunkedArray]
    store: PictureStore
    table: ItemTable

    @classmethod
    def of(cls, table: ItemTable, dataset: Dataset | None, model: Path) -> ItemFacts:
        """Reads what a dataset knows of the items of a table.

        Args:
            table: The items.
            dataset: The dataset that the model was trained on, where it is at hand.
            model: The model folder, with the pictures of items that were added.

        Raises:
            UserError: The dataset is damaged.
        """
        n = len(table)
        nothing = cls({}, np.zeros(n, np.int64), None, np.full(n, -1), [], PictureStore(model), table)
        if dataset is None:
            return nothing.updated(table, table.facts)
        rows = dataset.rows_of(table.item_ids)
        counts = np.bincount(dataset.interactions.item, minlength=dataset.n_items)
        images = sorted(name for name, kind in dataset.modalities.items() if kind == "image")
        found = replace(
            nothing,
            attributes={
                name: Attribute.of(dataset.attribute_array(name), rows) for name in dataset.manifest.attributes
            },
            popularity=np.where(rows < 0, 0, counts[rows]).astype(np.int64),
            dataset=dataset,
            dataset_rows=rows,
            columns=[dataset.image_references(name) for name in images],
        )
        return found.updated(table, table.facts)

    def updated(self, table: ItemTable, changed: Collection[int]) -> ItemFacts:
        """The facts of a later table; these stay as they are.

        Args:
            table: The same items at the same rows, and those that came since.
            changed: Rows of items that were added, replaced or taken back.
        """
        n, more = len(table), len(table) - len(self.dataset_rows)
        stated = {row: table.facts[row].attributes if row in table.facts else {} for row in changed}
        further = {name for attributes in stated.values() for name in attributes} - self.attributes.keys()
        known = {**self.attributes, **{name: Attribute.blank(n) for name in sorted(further)}}
        return replace(
            self,
            attributes={
                name: one.updated(n, {row: attributes.get(name) for row, attributes in stated.items()})
                for name, one in known.items()
            },
            popularity=np.append(self.popularity, np.zeros(more, dtype=np.int64)),
            dataset_rows=np.append(self.dataset_rows, np.full(more, -1)),
            table=table,
        )

    def having(self, name: str, values: Collection[str]) -> Mask:
        """Which items ``[N]`` have one of some values of an attribute.

        Raises:
            UserError: There is no such attribute.
        """
        if name not in self.attributes:
            known = ", ".join(self.attributes) or "none"
            raise UserError(f"items have no attribute {name!r}", how=f"there are: {known}")
        return self.attributes[name].having(values)

    def attributes_of(self, row: int) -> dict[str, str]:
        """The attributes that one item has."""
        found = {name: attribute.at(row) for name, attribute in self.attributes.items()}
        return {name: value for name, value in found.items() if value is not None}

    def has_picture(self, row: int) -> bool:
        """Whether an item comes with a picture; the file is not looked for."""
        if row in self.table.facts:
            return self.table.facts[row].picture is not None
        return self._reference(row) is not None

    def picture_of(self, row: int) -> Path | None:
        """The picture file of an item, None where it has none.

        That of an item of the dataset is as large as it came and not known to be sound.

        Raises:
            UserError: The file of the dataset is missing, or leads out of its folder.
        """
        if row in self.table.facts:
            return self.store.find(self.table.facts[row].picture)
        reference = self._reference(row)
        return None if reference is None or self.dataset is None else self.dataset.media_path(reference)

    def _reference(self, row: int) -> str | None:
        """What the dataset says of an item's picture, in the first image modality by name that it has."""
        its_row = int(self.dataset_rows[row])
        found = [] if its_row < 0 else [column[its_row].as_py() for column in self.columns]
        return next((reference for reference in found if reference is not None), None)
