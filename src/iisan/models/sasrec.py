"""SASRec as a post-norm Transformer (Kang and McAuley 2018; contract point 8)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from iisan.models.config import SasrecConfig
from iisan.models.slots import Slots


class CausalSelfAttention(nn.Module):
    """Multi-head attention whose four projections have no bias.

    Args:
        dim: Width ``d``.
        n_heads: Number of heads; divides `dim`.
        dropout: Dropout on the attention weights and on the output.
    """

    def __init__(self, dim: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.n_heads = n_heads
        self.query_key_value = nn.Linear(dim, 3 * dim, bias=False)
        self.output = nn.Linear(dim, dim, bias=False)
        self.dropout = dropout

    def forward(self, x: Tensor, visible: Tensor, slots: Slots) -> Tensor:
        """Attends.

        Args:
            x: ``[R, d]``, one row for each slot that `slots` takes.
            visible: ``[B, 1, L, L]`` bool, True where a query may see a key.
            slots: Where the rows of `x` stand in the histories.

        Returns:
            ``[R, d]``.
        """
        batch, _, length, _ = visible.shape
        heads = slots.spread(self.query_key_value(x)).view(batch, length, 3, self.n_heads, x.shape[1] // self.n_heads)
        query, key, value = heads.permute(2, 0, 3, 1, 4)  # each [B, heads, L, d / heads]
        mixed = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=visible, dropout_p=self.dropout if self.training else 0.0
        )
        out = self.output(slots.take(mixed.transpose(1, 2).reshape(batch * length, x.shape[1])))
        return functional.dropout(out, self.dropout, self.training)

    def last(self, x: Tensor, newest: Tensor, visible: Tensor, slots: Slots) -> Tensor:
        """Attends from the last slot of each history only; the other arguments are those of :meth:`forward`.

        Args:
            x: ``[R, d]``, what is seen.
            newest: ``[B, d]``, what stands in the last slots.
            visible: ``[B, 1, L, L]``.
            slots: Where the rows of `x` stand.

        Returns:
            ``[B, d]``.
        """
        batch, _, length, _ = visible.shape
        dim = x.shape[1]
        ask, answer = torch.split(self.query_key_value.weight, [dim, 2 * dim])
        query = functional.linear(newest, ask).view(batch, self.n_heads, 1, dim // self.n_heads)
        heads = slots.spread(functional.linear(x, answer)).view(batch, length, 2, self.n_heads, dim // self.n_heads)
        key, value = heads.permute(2, 0, 3, 1, 4)  # each [B, heads, L, d / heads]
        mixed = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=visible[:, :, -1:], dropout_p=self.dropout if self.training else 0.0
        )
        return functional.dropout(self.output(mixed.reshape(batch, dim)), self.dropout, self.training)


class SasrecBlock(nn.Module):
    """Attention and a ReLU feed-forward of ``4d``, each with a residual and a layer norm after it."""

    def __init__(self, dim: int, n_heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = CausalSelfAttention(dim, n_heads, dropout)
        self.attention_norm = nn.LayerNorm(dim, eps=1e-6)
        self.feed_forward = nn.Sequential(nn.Linear(dim, 4 * dim), nn.ReLU(), nn.Linear(4 * dim, dim))
        self.feed_forward_norm = nn.LayerNorm(dim, eps=1e-6)
        self.dropout = dropout

    def forward(self, x: Tensor, visible: Tensor, slots: Slots) -> Tensor:
        """Maps ``[R, d]`` to ``[R, d]``; the arguments are those of :class:`CausalSelfAttention`."""
        return self._after(x, self.attention(x, visible, slots))

    def last(self, x: Tensor, visible: Tensor, slots: Slots) -> Tensor:
        """Maps ``[R, d]`` to ``[B, d]``, what :meth:`forward` gives for the last slot of each history."""
        batch, _, length, _ = visible.shape
        newest = slots.spread(x).view(batch, length, -1)[:, -1]
        return self._after(newest, self.attention.last(x, newest, visible, slots))

    def _after(self, x: Tensor, attended: Tensor) -> Tensor:
        x = self.attention_norm(x + attended)
        inner = functional.dropout(self.feed_forward(x), self.dropout, self.training)
        return self.feed_forward_norm(x + inner)  # type: ignore[no-any-return]


class Sasrec(nn.Module):
    """Turns a history of item embeddings into a user state at each position.

    Args:
        config: Width, depth, heads, dropout and the longest history.
    """

    def __init__(self, config: SasrecConfig) -> None:
        super().__init__()
        self.max_length = config.max_length
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
        compact = self.training and real.device.type == "cpu"
        hidden, visible, slots = self._entered(items, real, compact=compact)
        for block in self.blocks:
            hidden = block(hidden, visible, slots)
        return slots.spread(hidden).view(items.shape)

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
        hidden, visible, slots = self._entered(items, real, compact=real.device.type == "cpu")
        *before, end = (block for block in self.blocks if isinstance(block, SasrecBlock))
        for block in before:
            hidden = block(hidden, visible, slots)
        return end.last(hidden, visible, slots)

    def _entered(self, items: Tensor, real: Tensor, *, compact: bool) -> tuple[Tensor, Tensor, Slots]:
        """What the first block reads ``[R, d]``, what is visible, and the slots: all, or if `compact` the real ones."""
        batch, length, dim = items.shape
        if length > self.max_length:
            raise ValueError(f"histories of {length} items, but the model reads at most {self.max_length}")
        # A shorter history keeps the positions that it would have at full length: its last item is always at the end.
        positions = self.positions.weight[self.max_length - length :]  # [L, d]
        slots = Slots.real(real) if compact else Slots(batch * length, None)
        hidden = slots.take((items + positions).view(batch * length, dim))  # [R, d]
        return functional.dropout(self.norm(hidden), self.dropout, self.training), visible_keys(real), slots


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
