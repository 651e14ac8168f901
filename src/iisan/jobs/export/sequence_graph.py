"""The sequence encoder of a recommender as a graph: a history's item embeddings in, the user state out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from iisan.jobs.export.graph import Graph, Port
from iisan.models.recommender import Recommender

BATCH = "batch"
LENGTH = "length"


def sequence_graph(model: Recommender) -> Graph:
    """The graph of a model's sequence encoder, in evaluation mode."""
    dim, longest = model.config.sequence_encoder.dim, model.max_length
    # A size of at most 1 leaves no choice, and the exporter would refuse to keep it open.
    length: str | int = LENGTH if longest > 1 else 1
    inputs = (
        Port("history", "float32", (BATCH, length, dim), "item embeddings of histories, oldest first, right-aligned"),
        Port("real", "bool", (BATCH, length), "false at padding, which is in front; its embeddings are not read"),
    )
    output = Port("user_state", "float32", (BATCH, dim), "user states; inner products with item embeddings are scores")
    return Graph(_LastState(model).eval(), inputs, output, longest={LENGTH: longest} if longest > 1 else {})


class _LastState(nn.Module):
    def __init__(self, model: Recommender) -> None:
        super().__init__()
        self.model = model

    def forward(self, history: Tensor, real: Tensor) -> Tensor:
        # What a caller leaves at the padding may be anything, NaN included.
        histories = torch.where(real.unsqueeze(-1), history, 0.0)  # [B, L, d]
        return self.model.states_after(histories, real)[:, -1]
