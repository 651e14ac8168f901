"""SASRec as a post-norm Transformer (Kang and McAuley 2018; contract point 8)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from iisan.models.attention_pass import attend, attention_bias
from iisan.models.config import SasrecConfig
from iisan.models.dropout_masks import DropoutMasks
from iisan.models.slots import Slots


@dataclass(frozen=True, slots=True)
class Histories:
    """What the blocks need to know of ``B`` histories of length ``L``.

    Attributes:
        visible: ``[B, 1, L, L]`` bool, True where a query may see a key.
        slots: Which slots are computed; those of a block's input, ``[R, d]``.
        masks: Dropout of this pass, attention weights included where `bias` is there.
        bias: ``[B · heads, L, L]`` for :func:`~iisan.models.attention_pass.attend`; None: the library's own attention.
    """

    visible: Tensor
    slots: Slots
    masks: DropoutMasks
    bias: Tensor | None


class CausalSelfAttention(nn.Module):
    """Multi-head attention whose four projections have no bias.

    Args:
        dim: Width ``d``.
        n_heads: Number of heads; divides `dim`.
        dropout: Dropout on the attention weights.
    """

    def __init__(self, dim: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.query_key_value = nn.Linear(dim, 3 * dim, bias=False)
        self.output = nn.Linear(dim, dim, bias=False)
        self.dropout = dropout

    def forward(self, x: Tensor, histories: Histories) -> Tensor:
        """Maps ``[R, d]`` to ``[R, d]``."""
        heads, slots = self.query_key_value(x), histories.slots
        if histories.bias is not None:
            kept = histories.masks.next(*histories.bias.shape)
            mixed = attend(heads, histories.bias, self.n_heads, slots, kept)
            return self.output(mixed)  # type: ignore[no-any-return]
        batch, _, length, _ = histories.visible.shape
        heads = slots.spread(heads).view(batch, length, 3, self.n_heads, x.shape[1] // self.n_heads)
        query, key, value = heads.permute(2, 0, 3, 1, 4)  # each [B, heads, L, d / heads]
        mixed = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=histories.visible, dropout_p=self.dropout if self.training else 0.0
        )
        return self.output(slots.take(mixed.transpose(1, 2).reshape(batch * length, x.shape[1])))  # type: ignore[no-any-return]

    def last(self, x: Tensor, newest: Tensor, histories: Histories) -> Tensor:
        """Attends from the last slot of each history only.

        Args:
            x: ``[R, d]``, what is seen.
            newest: ``[B, d]``, what stands in the last slots.
            histories: Of both.

        Returns:
            ``[B, d]``.
        """
        batch, _, length, _ = histories.visible.shape
        dim, slots = x.shape[1], histories.slots
        ask, answer = torch.split(self.query_key_value.weight, [dim, 2 * dim])
        query = functional.linear(newest, ask).view(batch, self.n_heads, 1, dim // self.n_heads)
        heads = slots.spread(functional.linear(x, answer)).view(batch, length, 2, self.n_heads, dim // self.n_heads)
        key, value = heads.permute(2, 0, 3, 1, 4)  # each [B, heads, L, d / heads]
        mixed = functional.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=histories.visible[:, :, -1:],
            dropout_p=self.dropout if self.training else 0.0,
        )
        return self.output(mixed.reshape(batch, dim))  # type: ignore[no-any-return]


class SasrecBlock(nn.Module):
    """Attention and a ReLU feed-forward of ``4d``, each with dropout, a residual and a layer norm after it."""

    def __init__(self, dim: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = CausalSelfAttention(dim, n_heads, dropout)
        self.attention_norm = nn.LayerNorm(dim, eps=1e-6)
        self.feed_forward = nn.Sequential(nn.Linear(dim, 4 * dim), nn.ReLU(), nn.Linear(4 * dim, dim))
        self.feed_forward_norm = nn.LayerNorm(dim, eps=1e-6)

    def forward(self, x: Tensor, histories: Histories) -> Tensor:
        """Maps ``[R, d]`` to ``[R, d]``."""
        return self._after(x, self.attention(x, histories), histories.masks)

    def last(self, x: Tensor, histories: Histories) -> Tensor:
        """Maps ``[R, d]`` to ``[B, d]``, what :meth:`forward` gives for the last slot of each history."""
        batch, _, length, _ = histories.visible.shape
        newest = histories.slots.spread(x).view(batch, length, -1)[:, -1]
        return self._after(newest, self.attention.last(x, newest, histories), histories.masks)

    def _after(self, x: Tensor, attended: Tensor, masks: DropoutMasks) -> Tensor:
        x = self.attention_norm(masks.add_dropped(x, attended))
        return self.feed_forward_norm(masks.add_dropped(x, self.feed_forward(x)))  # type: ignore[no-any-return]


class Sasrec(nn.Module):
    """Turns a history of item embeddings into a user state at each position.

    Args:
        config: Width, depth, heads, dropout and the longest history.
    """

    def __init__(self, config: SasrecConfig) -> None:
        super().__init__()
        self.max_length = config.max_length
        self.n_heads = config.n_heads
        self.positions = nn.Embedding(config.max_length, config.dim)
        self.norm = nn.LayerNorm(config.dim, eps=1e-6)
        self.dropout = config.dropout
        self.blocks = nn.ModuleList(
            SasrecBlock(config.dim, config.n_heads, config.dropout) for _ in range(config.n_layers)
        )
        nn.init.normal_(self.positions.weight, std=0.02)

    def forward(self, items: Tensor, real: Tensor) -> Tensor:
        """User states.

        Args:
            items: ``[B, L, d]`` embeddings of right-aligned histories, ``L`` at most ``max_length``.
            real: ``[B, L]`` bool, False at padding.

        Returns:
            ``[B, L, d]``; meaningless where `real` is False.

        Raises:
            ValueError: ``L`` is more than ``max_length``.
        """
        # Most slots of a batch are padding, and in training they cost as much as the others. Elsewhere it matters
        # little, and on a device to count them would make the host wait.
        hidden, histories = self._entered(items, real, compact=self.training and real.device.type == "cpu")
        for block in self.blocks:
            hidden = block(hidden, histories)
        return histories.slots.spread(hidden).view(items.shape)

    def last(self, items: Tensor, real: Tensor) -> Tensor:
        """User states after whole histories only, at less cost than those at each position.

        Args:
            items: ``[B, L, d]`` as in :meth:`forward`.
            real: ``[B, L]``; the last slot of each history is real.

        Returns:
            ``[B, d]``.

        Raises:
            ValueError: ``L`` is more than ``max_length``.
        """
        hidden, histories = self._entered(items, real, compact=real.device.type == "cpu")
        *before, end = (block for block in self.blocks if isinstance(block, SasrecBlock))
        for block in before:
            hidden = block(hidden, histories)
        return end.last(hidden, histories)

    def _entered(self, items: Tensor, real: Tensor, *, compact: bool) -> tuple[Tensor, Histories]:
        """What the first block reads ``[R, d]``, of all slots, or if `compact` of the real ones."""
        batch, length, dim = items.shape
        if length > self.max_length:
            raise ValueError(f"histories of {length} items, but the model reads at most {self.max_length}")
        # A shorter history keeps the positions that it would have at full length: its last item is always at the end.
        positions = self.positions.weight[self.max_length - length :]  # [L, d]
        slots = Slots.real(real) if compact else Slots(batch * length, None)
        hidden = self.norm(slots.take((items + positions).view(batch * length, dim)))  # [R, d]
        histories = self._histories(visible_keys(real), slots, hidden)
        return histories.masks.drop(hidden), histories

    def _histories(self, visible: Tensor, slots: Slots, hidden: Tensor) -> Histories:
        # The library's attention is made for long sequences on a device; there it also drops weights by itself.
        bias = None
        if self.training and visible.device.type == "cpu":
            bias = attention_bias(visible, self.n_heads, hidden.dtype)
        n_blocks, n_weights = len(self.blocks), 0 if bias is None else bias.numel()
        n_dropped = hidden.numel() + n_blocks * (2 * hidden.numel() + n_weights)
        return Histories(visible, slots, DropoutMasks(self.dropout if self.training else 0.0, n_dropped, hidden), bias)


def visible_keys(real: Tensor) -> Tensor:
    """The attention mask: causal and blind to padding.

    A padding position sees itself, for a softmax over nothing would be NaN.

    Args:
        real: ``[B, L]`` bool, False at padding.

    Returns:
        ``[B, 1, L, L]`` bool.
    """
    length = real.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=real.device).tril()
    itself = torch.eye(length, dtype=torch.bool, device=real.device)
    return ((causal & real[:, None, :]) | itself).unsqueeze(1)
