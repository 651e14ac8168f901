"""From picture files to the numbers that a model reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from iisan.data.decode import decode_image
from iisan.encoders.image_processor import load_processor, resized_side
from iisan.encoders.model_files import ModelFiles

Picture = Path | str | Image.Image


class PicturePixels:
    """Decodes pictures and passes them through a model's image processor, one after the other.

    Attributes:
        preprocessing: The JSON-able settings that determine the pixels.
        at_least: What pictures are decoded with (see :func:`~iisan.data.decode.decode_image`).

    Args:
        files: Of the model.
        image_size: Side in pixels of what it gets to see; ``None``: its own.

    Raises:
        UserError: The model has no usable image processor.
    """

    def __init__(self, files: ModelFiles, image_size: int | None) -> None:
        self._processor: Any
        self._processor, self.preprocessing = load_processor(files, image_size)
        # Scaling down to half the size or less loses what a smaller decoding lost before.
        self.at_least = None if (side := resized_side(self.preprocessing)) is None else 2 * side

    def of(self, pictures: Sequence[Picture]) -> Tensor:
        """Pixels ``[n, 3, H, W]`` of ``n`` files or open pictures, at least one; fp32, on the CPU.

        Raises:
            UserError: A file is no readable picture; it is named.
        """
        # One by one: in full, the pictures of a batch may take gigabytes. And not joined by torch, whose threads would
        # take the cores from a forward pass.
        return torch.from_numpy(np.concatenate([self._of_one(picture) for picture in pictures]))

    def _of_one(self, picture: Picture) -> np.ndarray[Any, np.dtype[np.float32]]:
        decoded = decode_image(picture, self.at_least)
        found = self._processor(images=[decoded], return_tensors="np")["pixel_values"]  # [1, 3, H, W]
        return np.asarray(found, dtype=np.float32)
