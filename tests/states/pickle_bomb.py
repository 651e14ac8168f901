"""A file that would run code if it were unpickled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest


class Bomb:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return (pytest.fail, ("a pickle was run",))


def objects(path: Path) -> None:
    np.save(path, np.array([Bomb()], dtype=object), allow_pickle=True)
