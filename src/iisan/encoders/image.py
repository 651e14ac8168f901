"""Pictures in, one vector per tapped layer out."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from iisan.encoders.config import EncoderConfig
from iisan.encoders.encoder import Batch
from iisan.encoders.foundation import load_foundation, reading, resolve_device, resolve_dtype
from iisan.encoders.model_files import ModelFiles
from iisan.encoders.passes import Placed, encoded_parts, forward_passes
from iisan.encoders.picture_decoding import PictureDecoding
from iisan.encoders.picture_pixels import Picture
from iisan.encoders.prefetch import prefetch
from iisan.encoders.tapped_states import check_states, pooled_taps
from iisan.encoders.taps import resolve_taps
from iisan.errors import UserError

# Part of the identity: a change of `decode_image` that changes pixels must change it
DECODER = (
    "first frame, exif orientation, white behind transparency of 1 to 16 bits, rgb8, "
    "jpeg decoded at no less than twice the size"
)


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
        self._decoding = PictureDecoding(config, files, self.device)
        self.at_least = self._decoding.here.at_least
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
            "preprocessing": {"decoder": DECODER, **self._decoding.here.preprocessing},
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
        return {"pixel_values": self._decoding.pixels(contents)}

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
        (states,) = self.encode_parts([contents], on_batch)
        return states

    def encode_parts(
        self, parts: Sequence[Sequence[Picture]], on_batch: Callable[[int], None] | None = None
    ) -> Generator[Tensor, None, None]:
        """:meth:`encode` of one part after the other; the first pictures of the next one are decoded meanwhile."""
        for part in parts:
            self._decoding.expect(part)
        size = self.config.batch_size
        cuts = [range(start, min(start + size, len(part))) for part in parts for start in range(0, len(part), size)]
        batches = (part[start : start + size] for part in parts for start in range(0, len(part), size))
        with closing(prefetch(self.prepare, batches, self._decoding.workers, self._decoding.abandon)) as prepared:
            placed: Iterator[Placed] = zip(cuts, prepared, strict=True)
            passes = forward_passes(placed, self.forward_taps, self.device)
            shape = (len(self.taps), self.width)
            yield from encoded_parts(map(len, parts), passes, shape, on_batch)

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
