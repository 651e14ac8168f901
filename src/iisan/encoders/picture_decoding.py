"""Where pictures are decoded: in threads of this process, or in processes of their own."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import closing

import torch
from PIL import Image
from torch import Tensor

from iisan.encoders.config import EncoderConfig
from iisan.encoders.decoder_processes import DecoderProcesses, decoder_count, usable_cores
from iisan.encoders.model_files import ModelFiles
from iisan.encoders.picture_pixels import Picture, PicturePixels
from iisan.encoders.prefetch import prefetch

logger = logging.getLogger(__name__)

# Threads that decode for a GPU where no processes do.
MOST_THREADS = 8
# Files after which processes have paid for their start, which takes seconds, where nobody asked for them.
WORTH_PROCESSES = 256


class PictureDecoding:
    """Decodes and preprocesses pictures for one encoder, for several threads at once.

    Pictures that are open already never leave this process.

    Attributes:
        here: Does it in this process.

    Args:
        config: Its `decoders`, `image_size` and `batch_size` count.
        files: Of the model.
        device: Where the model is.

    Raises:
        UserError: The model has no usable image processor.
    """

    def __init__(self, config: EncoderConfig, files: ModelFiles, device: torch.device) -> None:
        self.here = PicturePixels(files, config.image_size)
        self._asked_for = config.decoders is not None
        self._most = config.batch_size
        self._files_seen = 0
        # Where cores do the encoding, a second thread that decodes would only take one from the first.
        self._threads = 1 if device.type == "cpu" else min(MOST_THREADS, usable_cores())
        count = decoder_count(config.decoders, device)
        pinned = device.type == "cuda"
        self._processes = DecoderProcesses(count, files, config.image_size, pinned=pinned) if count else None

    @property
    def workers(self) -> int:
        """How many batches are decoded at once."""
        return self._processes.count if self._processes is not None and self._processes.pids else self._threads

    def expect(self, pictures: Sequence[Picture]) -> None:
        """Starts the processes, if there are to be any, where so many files are worth it.

        Raises:
            UserError: They cannot be started.
        """
        if self._processes is None:
            return
        self._files_seen += sum(map(_is_file, pictures))
        if self._files_seen >= (1 if self._asked_for else WORTH_PROCESSES):
            self._processes.start()

    def pixels(self, pictures: Sequence[Picture]) -> Tensor:
        """Pixels ``[n, 3, H, W]``, fp32, on the CPU; of more than a batch they are decoded in shares, all at once.

        Raises:
            UserError: A file is no readable picture; it is named.
        """
        if len(pictures) <= self._most:
            return self._share(pictures)
        self.expect(pictures)
        size = -(-len(pictures) // self.workers)
        shares = [pictures[start : start + size] for start in range(0, len(pictures), size)]
        with closing(prefetch(self._share, shares, self.workers, self.abandon)) as found:
            return torch.cat(list(found))

    def abandon(self) -> None:
        """Ends what is being decoded in processes; it is not wanted any more."""
        if self._processes is not None:
            self._processes.close()

    def _share(self, pictures: Sequence[Picture]) -> Tensor:
        files = [picture for picture in pictures if not isinstance(picture, Image.Image)]
        if self._processes is None or not self._processes.pids or len(files) < len(pictures):
            return self.here.of(pictures)
        return self._processes.pixels(files)


def _is_file(picture: Picture) -> bool:
    return not isinstance(picture, Image.Image)
