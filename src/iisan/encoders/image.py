"""Pictures in, one vector per tapped layer out."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from iisan.data.decode import decode_image
from iisan.encoders.config import EncoderConfig
from iisan.encoders.encoder import Batch
from iisan.encoders.foundation import load_foundation, reading, resolve_device, resolve_dtype
from iisan.encoders.image_processor import load_processor, resized_side
from iisan.encoders.model_files import ModelFiles
from iisan.encoders.prefetch import prefetch
from iisan.encoders.tapped_states import check_states, pooled_taps
from iisan.encoders.taps import resolve_taps
from iisan.errors import UserError

# Part of the identity: a change of `decode_image` that changes pixels must change it
DECODER = (
    "first frame, exif orientation, white behind transparency of 1 to 16 bits, rgb8, "
    "jpeg decoded at no less than twice the size"
)
# Batches decoded at once, and waiting, at most
MOST_DECODERS = 8

Picture = Path | str | Image.Image


class ImageEncoder:
    """A frozen vision model or vision tower; see `iisan.encoders.encoder.Encoder` for the attributes.

    "first" is the class token, "mean" the mean over all tokens of the layer, class and register tokens included.

    Attributes:
        at_least: What pictures are decoded with (see :func:`~iisan.data.decode.decode_image`). One that somebody else
            decodes gives the same states if that is done with this too.

    Args:
        config: What to load, with ``kind="image"``.
        files: Where its files are.

    Raises:
        UserError: The model or its image processor cannot be loaded, or `config` asks for what the model does not have.
    """

    def __init__(self, config: EncoderConfig, files: ModelFiles) -> None:
        self.config = config
        self.device = resolve_device(config.device)
        self.compute_dtype = resolve_dtype(config.dtype, self.device)
        self.module: nn.Module = load_foundation(files.folder, "image", self.compute_dtype, files.name).to(self.device)
        self._processor, preprocessing = load_processor(files, config.image_size)
        # Scaling down to half the size or less loses what a smaller decoding lost before.
        self.at_least = None if (side := resized_side(preprocessing)) is None else 2 * side
        # Where the model has a device of its own, the cores are free to decode.
        self._decoders = 1 if self.device.type == "cpu" else min(MOST_DECODERS, os.cpu_count() or 1)
        # models that interpolate their position embedding only when asked say so in their signature
        asks = "interpolate_pos_encoding" in inspect.signature(self.module.forward).parameters
        self._forward_options: dict[str, Any] = {"interpolate_pos_encoding": True} if asks else {}
        hidden = self._probe(files.name)
        self.n_states, self.width = check_states(hidden, files.name)
        self.taps = resolve_taps(config.taps, self.n_states)
        self.identity: dict[str, Any] = {
            "model": files.name,
            "revision": files.revision,
            "kind": "image",
            "pooling": config.pooling,
            "taps": list(self.taps),
            "n_states": self.n_states,
            "width": self.width,
            "preprocessing": {"decoder": DECODER, **preprocessing},
        }

    def prepare(self, contents: Sequence[Picture]) -> Batch:
        """Decode and preprocess pictures.

        Args:
            contents: ``n`` files or open pictures, at least one.

        Returns:
            ``pixel_values``, ``[n, 3, H, W]`` fp32, on the CPU.

        Raises:
            UserError: A file is no readable picture; it is named.
        """
        pictures = [decode_image(content, self.at_least) for content in contents]
        return {"pixel_values": self._processor(images=pictures, return_tensors="pt")["pixel_values"]}

    def forward_taps(self, batch: Batch) -> Tensor:
        """Tapped and pooled hidden states ``[n, T, D]`` of a batch, on the encoder's device, in its arithmetic's dtype.

        Gradients are recorded where they are enabled and a parameter wants them.
        """
        return pooled_taps(self._hidden_states(batch), None, self.taps, self.config.pooling)

    def encode(self, contents: Sequence[Picture], on_batch: Callable[[int], None] | None = None) -> Tensor:
        """Encode any number of pictures; the next ones are decoded while the model works on a batch.

        Args:
            contents: ``n`` files or open pictures.
            on_batch: Called after each forward pass with the number of pictures done by it.

        Returns:
            ``[n, T, D]``, fp32, on the CPU, in the order of `contents`.

        Raises:
            UserError: A file is no readable picture; it is named.
        """
        out = torch.empty(len(contents), len(self.taps), self.width)
        size = self.config.batch_size
        parts = [contents[start : start + size] for start in range(0, len(contents), size)]
        done = 0
        for batch in prefetch(self.prepare, parts, self._decoders):
            with torch.inference_mode():
                taps = self.forward_taps(batch).float().cpu()
            out[done : done + len(taps)] = taps
            done += len(taps)
            if on_batch is not None:
                on_batch(len(taps))
        return out

    def probe_contents(self) -> tuple[Image.Image, Image.Image]:
        """Two pictures of different colour and shape."""
        return Image.linear_gradient("L").convert("RGB"), Image.radial_gradient("L").convert("RGB")

    def _hidden_states(self, batch: Batch) -> tuple[Tensor, ...]:
        pixels = batch["pixel_values"].to(device=self.device, dtype=self.compute_dtype)
        hidden: tuple[Tensor, ...] = self.module(
            pixel_values=pixels, output_hidden_states=True, **self._forward_options
        ).hidden_states
        return hidden

    def _probe(self, name: str) -> tuple[Tensor, ...]:
        with reading(name, "its image processor"):
            batch = self.prepare([self.probe_contents()[0]])
        try:
            with torch.inference_mode():
                hidden = self._hidden_states(batch)
        except (RuntimeError, ValueError) as error:
            size = tuple(batch["pixel_values"].shape[-2:])
            raise UserError(
                f"the model does not take pictures of {size[0]} x {size[1]} ({str(error).splitlines()[0]})",
                where=name,
                how="leave image_size out to use the model's own",
            ) from error
        if self.config.pooling == "first" and not self._has_class_token(hidden, batch):
            raise UserError("the model has no class token to pool by 'first'", where=name, how="use pooling 'mean'")
        return hidden

    def _has_class_token(self, hidden: Sequence[Tensor], batch: Batch) -> bool:
        patch = getattr(self.module.config, "patch_size", None)
        if not isinstance(patch, int) or not hidden:
            return True
        height, width = batch["pixel_values"].shape[-2:]
        return hidden[0].dim() == 3 and hidden[0].shape[1] > (height // patch) * (width // patch)
