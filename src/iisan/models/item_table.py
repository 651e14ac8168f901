"""The item table: what a trained model knows of its catalogue, enough to recommend without the dataset."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from iisan.errors import UserError

_ITEMS = "items.parquet"
_EMBEDDINGS = "item_embeddings.safetensors"


class ItemTable:
    """Ids, titles and embeddings of a catalogue, row by row.

    Args:
        item_ids: ``N`` ids; the position is the catalogue row.
        titles: As many titles, None where an item has none.
        embeddings: ``[N, d]`` fp32.
        recommendable: ``[N]`` bool, False for items that must not be offered (without content, or never learned).
    """

    def __init__(
        self, item_ids: Sequence[str], titles: Sequence[str | None], embeddings: Tensor, recommendable: Tensor
    ) -> None:
        if not len(item_ids) == len(titles) == len(embeddings) == len(recommendable):
            raise ValueError("item_ids, titles, embeddings and recommendable differ in length")
        self.item_ids = list(item_ids)
        self.titles = list(titles)
        self.embeddings = embeddings
        self.recommendable = recommendable
        self._row = {item_id: row for row, item_id in enumerate(self.item_ids)}

    def __len__(self) -> int:
        return len(self.item_ids)

    def row(self, item_id: str) -> int | None:
        """The catalogue row of an item, or None where it is unknown."""
        return self._row.get(item_id)

    def save(self, folder: Path) -> None:
        """Writes ``items.parquet`` and ``item_embeddings.safetensors``."""
        columns = {
            "item_id": pa.array(self.item_ids, pa.string()),
            "title": pa.array(self.titles, pa.string()),
            "recommendable": pa.array(self.recommendable.cpu().numpy(), pa.bool_()),
        }
        pq.write_table(pa.table(columns), folder / _ITEMS)
        save_file({"embeddings": self.embeddings.detach().cpu().float().contiguous()}, folder / _EMBEDDINGS)

    @classmethod
    def load(cls, folder: Path) -> ItemTable | None:
        """Reads what :meth:`save` wrote; None where a model was saved without a table.

        Raises:
            UserError: One of the two files is unreadable, or they do not belong together.
        """
        if not (folder / _ITEMS).exists():
            return None
        try:
            table = pq.read_table(folder / _ITEMS)
            embeddings = load_file(folder / _EMBEDDINGS)["embeddings"]
            recommendable = torch.from_numpy(table["recommendable"].to_numpy().copy())
            return cls(table["item_id"].to_pylist(), table["title"].to_pylist(), embeddings, recommendable)
        except (OSError, KeyError, TypeError, ValueError, pa.ArrowException, SafetensorError) as error:
            raise UserError(
                f"the item table cannot be read ({error})",
                where=str(folder),
                how="save the model again or copy its folder whole",
            ) from error
