"""Arrays in ``.npy`` files, memory-mapped; objects, which are pickles, are never read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from iisan.errors import UserError


def map_npy(path: Path) -> npt.NDArray[Any]:
    """Memory-map an array, read-only.

    Raises:
        UserError: The file is missing, no ``.npy``, shorter than its header says, or holds Python objects.
    """
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except FileNotFoundError:
        raise UserError("no such file", where=str(path), how="name a file that numpy.save wrote") from None
    except (OSError, ValueError, SyntaxError, RecursionError, OverflowError) as error:
        how = "write it with numpy.save; arrays of objects are not read"
        raise UserError(f"no readable .npy array ({error})", where=str(path), how=how) from error
