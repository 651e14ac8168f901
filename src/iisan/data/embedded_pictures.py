"""Pictures that are values of an Arrow column: bytes, or bytes and path as Hugging Face keeps them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from iisan.data.picture_source import BytesPicture, Picture

# Pictures held at once while a column is read.
ROWS_AT_ONCE = 8

FromPath = Callable[[str], Picture]


def holds_pictures(kind: pa.DataType) -> bool:
    """Whether values of a type are pictures: binary, or a struct with a binary field ``bytes``."""
    if pa.types.is_dictionary(kind):
        return holds_pictures(kind.value_type)
    if pa.types.is_struct(kind):
        position = kind.get_field_index("bytes")
        return position >= 0 and _is_binary(kind.field(position).type)
    return _is_binary(kind)


@dataclass(frozen=True)
class EmbeddedPictures:
    """A picture source of column values; see :class:`iisan.data.picture_source.PictureSource`.

    Attributes:
        n_items: Number of rows N.
        batches: Gives the column's values in order, few at a time.
        where: Names a row (from 0) for messages.
        from_path: The picture that a value without bytes names by its path.
    """

    n_items: int
    batches: Callable[[], Iterable[pa.Array]]
    where: Callable[[int], str]
    from_path: FromPath

    def __len__(self) -> int:
        """Number of items N."""
        return self.n_items

    def pictures(self) -> Iterator[tuple[Sequence[int], Picture]]:
        """The pictures in the order of the rows.

        Raises:
            UserError: The column cannot be read.
        """
        row = 0
        for batch in self.batches():
            for value in batch:
                picture = self._picture(row, value.as_py())
                if picture is not None:
                    yield [row], picture
                row += 1

    def _picture(self, row: int, value: Any) -> Picture | None:
        fields = value if isinstance(value, dict) else {"bytes": value}
        content, path = fields.get("bytes"), fields.get("path")
        if content is not None:
            # The path beside the bytes comes from outside and names nothing here.
            return BytesPicture(self.where(row), len(content), lambda: content)
        if isinstance(path, str) and path.strip():
            return self.from_path(path)
        return None


def _is_binary(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))
