"""The program that decodes pictures for a process whose cores or GPU have better things to do.

Each line of its input is a JSON list of files. It answers with one line of JSON, ``{"shape": [n, 3, H, W]}`` and after
it the pixels as bytes, ``{"what": ..., "where": ..., "how": ...}`` where a file is no readable picture, or
``{"bug": ...}`` with a traceback. Nothing is pickled. It ends with its input, and so with whoever started it.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from iisan.encoders.model_files import ModelFiles
from iisan.encoders.picture_pixels import PicturePixels
from iisan.errors import UserError

Prepare = Callable[[Sequence[str]], Tensor]


def serve(reading: BinaryIO, writing: BinaryIO, prepare: Prepare) -> None:
    """Answers one request after the other until the input ends."""
    for line in reading:
        head, pixels = _answer(json.loads(line), prepare)
        writing.write(json.dumps(head).encode("ascii") + b"\n")
        if pixels is not None:
            writing.write(pixels.data.cast("B"))
        writing.flush()


def _answer(names: Sequence[str], prepare: Prepare) -> tuple[dict[str, Any], np.ndarray[Any, Any] | None]:
    try:
        pixels = prepare(names).contiguous().numpy()
    except UserError as error:
        return {"what": error.what, "where": error.where, "how": error.how}, None
    except Exception:  # What it is shows where it would have shown had there been no further process.
        return {"bug": traceback.format_exc()}, None
    return {"shape": pixels.shape}, pixels


def main() -> None:
    """The program: its argument is JSON that says whose image processor to use."""
    job = json.loads(sys.argv[1])
    writing = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # What a library prints must not get among the answers.
    torch.set_num_threads(1)
    pixels = PicturePixels(ModelFiles(Path(job["folder"]), job["name"], job["revision"]), job["image_size"])
    try:
        serve(sys.stdin.buffer, writing, pixels.of)
    except BrokenPipeError:  # Whoever asked is gone.
        os._exit(1)


if __name__ == "__main__":
    main()
