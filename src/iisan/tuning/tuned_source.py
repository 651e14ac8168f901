"""Hidden states from encoders that are being tuned, with gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from iisan.encoders.encoder import Encoder
from iisan.states.content import Content, is_missing
from iisan.states.phases import PhaseObserver, Unobserved
from iisan.states.sources import ItemStates, ModalityShape
from iisan.tuning.gradient_checkpointing import checkpoint_blocks
from iisan.tuning.method import TuningMethod


class TunedSource:
    """A `StateSource` whose encoders are tuned by what is computed from its states.

    Where gradients are enabled, :meth:`gather` records them and the encoders run as in training; elsewhere (validation,
    embedding the catalogue) they run as in evaluation, in batches, and nothing is recorded.

    Args:
        encoders: Encoder by modality; the method is attached to each. Only the last of its taps is of use to a linear
            head, so load them with ``taps=[-1]``.
        contents: For each modality the content of the catalogue's ``N`` items; ``None`` or a blank text: the item
            lacks it and gets zeros with ``available`` False.
        method: How the encoders are tuned.
        gradient_checkpointing: Whether the blocks' activations are computed anew in the backward pass instead of kept:
            less memory for a third more time, the same numbers.
        observer: Is told when the encoders run.

    Raises:
        UserError: The method does not fit an encoder.
        ValueError: `encoders` and `contents` name different modalities, or the contents differ in length.
    """

    def __init__(
        self,
        encoders: Mapping[str, Encoder],
        contents: Mapping[str, Sequence[Content | None]],
        method: TuningMethod,
        *,
        gradient_checkpointing: bool = False,
        observer: PhaseObserver | None = None,
    ) -> None:
        if set(encoders) != set(contents):
            raise ValueError(f"encoders for {sorted(encoders)}, but contents for {sorted(contents)}")
        lengths = {len(column) for column in contents.values()}
        if len(lengths) != 1:
            raise ValueError(f"the modalities have different numbers of items: {sorted(lengths)}")
        self._n_items = lengths.pop()
        self._encoders = dict(encoders)
        self._contents = {name: contents[name] for name in encoders}
        self.method = method
        self._observer = observer or Unobserved()
        for encoder in self._encoders.values():
            if gradient_checkpointing:
                checkpoint_blocks(encoder)
            method.attach(encoder)
        self.modules = nn.ModuleDict({name: encoder.module for name, encoder in self._encoders.items()})

    @property
    def modalities(self) -> dict[str, ModalityShape]:
        """Shape by modality."""
        return {name: ModalityShape(len(encoder.taps), encoder.width) for name, encoder in self._encoders.items()}

    @property
    def n_items(self) -> int:
        """``N``."""
        return self._n_items

    def gather(self, rows: Tensor) -> dict[str, ItemStates]:
        """States of some items, each distinct one encoded once; see `StateSource.gather`."""
        distinct, position = torch.unique(rows, return_inverse=True)  # [m], [n]
        return {name: self._gather(name, distinct.tolist(), position) for name in self._encoders}

    def _gather(self, name: str, distinct: list[int], position: Tensor) -> ItemStates:
        encoder, column = self._encoders[name], self._contents[name]
        found = [(place, column[row]) for place, row in enumerate(distinct) if not is_missing(column[row])]
        device = position.device
        if not found:
            zeros = torch.zeros(len(position), encoder.width, device=device)
            return ItemStates([zeros] * len(encoder.taps), torch.zeros(len(position), dtype=torch.bool, device=device))
        encoded = self._encode(encoder, [content for _, content in found]).to(device)  # [f, T, D]
        places = torch.tensor([place for place, _ in found], device=device)
        if len(found) < len(distinct):
            blank = encoded.new_zeros(len(distinct), *encoded.shape[1:])
            encoded = blank.index_copy(0, places, encoded)  # [m, T, D]
        available = torch.zeros(len(distinct), dtype=torch.bool, device=device)
        available[places] = True
        taps = encoded.index_select(0, position).unbind(1)
        everywhere = len(found) == len(distinct)
        return ItemStates(list(taps), None if everywhere else available[position])

    def _encode(self, encoder: Encoder, contents: Sequence[Content | None]) -> Tensor:
        if not torch.is_grad_enabled():
            encoder.module.eval()
            return encoder.encode(contents)
        encoder.module.train(self.method.whole_model_trains)
        batch = encoder.prepare(contents)
        with self._observer.phase("forward"):
            return encoder.forward_taps(batch).float()
