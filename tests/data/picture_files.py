"""Pictures as bytes, and the places that an import takes them from."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

LOG = "user_id,item_id,timestamp\n"


def picture(seed: int, form: str = "PNG", size: tuple[int, int] = (5, 4)) -> bytes:
    """A picture of random pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form, **({"lossless": True} if form == "WEBP" else {}))
    return buffer.getvalue()


def write_log(folder: Path, item_ids: Sequence[str]) -> Path:
    """A log in which one user meets every item."""
    path = folder / "log.csv"
    path.write_text(LOG + "".join(f"u,{one},{time}\n" for time, one in enumerate(item_ids)), encoding="utf-8")
    return path


def write_tar(path: Path, files: Mapping[str, bytes] | Sequence[tuple[str, bytes]], packed: bool = False) -> Path:
    """A tar archive of regular files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items() if isinstance(files, Mapping) else files:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    path.write_bytes(gzip.compress(buffer.getvalue(), 1) if packed else buffer.getvalue())
    return path


def write_bytes_table(
    path: Path, pictures: Mapping[str, bytes | None], *, plain: bool = False, paths: str = "{}.png", **options: int
) -> Path:
    """A Parquet table of items whose pictures are bytes, plain or as Hugging Face keeps them."""
    values = [
        content if plain or content is None else {"bytes": content, "path": paths.format(item_id)}
        for item_id, content in pictures.items()
    ]
    kind = pa.binary() if plain else pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({"item_id": list(pictures), "title": list(pictures), "image": pa.array(values, kind)})
    pq.write_table(table, path, **options)
    return path
