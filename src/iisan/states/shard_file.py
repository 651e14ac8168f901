"""One shard of states on disk: a safetensors file with one tensor, memory-mapped when read."""

from __future__ import annotations

import json
import struct
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from iisan.errors import UserError
from iisan.states.manifest import StoreDtype
from iisan.states.tensor_file import save_tensors

TORCH_DTYPES: dict[StoreDtype, torch.dtype] = {
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float32": torch.float32,
}
SAFETENSORS_DTYPES: dict[StoreDtype, str] = {"float16": "F16", "bfloat16": "BF16", "float32": "F32"}
# numpy has no bfloat16: its bits are moved as 16-bit integers
NUMPY_DTYPES: dict[StoreDtype, str] = {"float16": "<f2", "bfloat16": "<i2", "float32": "<f4"}
STATES_KEY = "states"
HEADER_LIMIT = 1 << 20

StateArray = npt.NDArray[Any]


def write_shard(path: Path, states: Tensor) -> None:
    """Write states ``[rows, T_var, D]`` as they are.

    Raises:
        OSError: The file cannot be written.
    """
    save_tensors({STATES_KEY: states.contiguous()}, path)


def map_shard(path: Path, dtype: StoreDtype, shape: tuple[int, int, int]) -> StateArray:
    """Memory-map the states of a shard.

    Args:
        path: safetensors file.
        dtype: What the manifest says.
        shape: ``(rows, T_var, D)`` that the manifest says.

    Returns:
        A read-only array ``[rows, T_var, D]``; bfloat16 as its bits, in int16.

    Raises:
        UserError: The file is absent, shorter than its header says, or not what the manifest says.
    """
    try:
        with path.open("rb") as file:
            (header_size,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(min(header_size, HEADER_LIMIT)))[STATES_KEY]
        begin, end = header["data_offsets"]
        size = path.stat().st_size
    except FileNotFoundError:
        raise _damaged(path, "the file is missing") from None
    except (struct.error, ValueError, KeyError, TypeError) as error:
        raise _damaged(path, "its header cannot be read") from error
    if header["dtype"] != SAFETENSORS_DTYPES[dtype] or tuple(header["shape"]) != shape:
        raise _damaged(path, f"it holds {header['dtype']} {header['shape']}, not {dtype} {list(shape)}")
    if size != 8 + header_size + end or end - begin != np.dtype(NUMPY_DTYPES[dtype]).itemsize * int(np.prod(shape)):
        raise _damaged(path, f"it has {size} bytes, not the {8 + header_size + end} that its header says")
    if end == begin:  # nothing to map, and mapping nothing is an error
        return np.empty(shape, NUMPY_DTYPES[dtype])
    return np.memmap(path, dtype=NUMPY_DTYPES[dtype], mode="r", offset=8 + header_size + begin, shape=shape)


def as_tensor(array: StateArray, dtype: StoreDtype) -> Tensor:
    """An array of `map_shard`'s dtype as a tensor of the store's dtype, without a copy; if mapped, only to be read."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        tensor = torch.from_numpy(array)
    return tensor.view(torch.bfloat16) if dtype == "bfloat16" else tensor


def _damaged(path: Path, reason: str) -> UserError:
    return UserError(f"the shard is damaged: {reason}", where=str(path), how="restore the store or encode anew")
