"""The parts of a Transformer that tuning methods change, found by watching one forward pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from iisan.encoders.encoder import Encoder
from iisan.errors import UserError


@dataclass(frozen=True, slots=True)
class TransformerBlock:
    """Names of one block's projections, as ``module.get_submodule`` takes them.

    Attributes:
        queries: The projection of the queries (or of queries, keys and values together, where they are one).
        keys: That of the keys.
        values: That of the values.
        attention_output: The last projection of the attention, before the residual connection.
        feed_forward_input: The projections that open the feed-forward part; two where it is gated.
        feed_forward_output: The last projection of the feed-forward part, before the residual connection.
    """

    queries: str
    keys: str
    values: str
    attention_output: str
    feed_forward_input: tuple[str, ...]
    feed_forward_output: str


@dataclass(slots=True)
class _Call:
    """One projection as it ran: its name, and which tensor went in."""

    name: str
    source: int


@dataclass(slots=True)
class _Trace:
    calls: list[_Call] = field(default_factory=list)
    alive: list[Tensor] = field(default_factory=list)  # Keeps tensors alive, so that no address is used twice.


def transformer_blocks(encoder: Encoder) -> list[TransformerBlock]:
    """Finds the blocks of an encoder's foundation model and what each projection in them is for.

    It does not go by the model's name: one forward pass shows in which order the projections of each block run and
    which of them read the same tensor. Those that read the block's first input are queries, keys and values; the next
    is the attention's output; then comes the feed-forward part.

    Args:
        encoder: Whose blocks to find; it is left as it was.

    Returns:
        The blocks, from the first to the last.

    Raises:
        UserError: The model has no list of blocks of that form.
    """
    module = encoder.module
    stack = block_names(encoder)
    traces = {prefix: _Trace() for prefix in stack}
    hooks = [
        projection.register_forward_pre_hook(_recorder(traces[prefix], name))
        for prefix in stack
        for name, projection in _projections(module, prefix)
    ]
    try:
        with torch.inference_mode():
            encoder.forward_taps(encoder.prepare([encoder.probe_contents()[0]]))
    finally:
        for hook in hooks:
            hook.remove()
    return [_block(trace.calls, prefix, encoder) for prefix, trace in traces.items()]


def width_of(projection: nn.Module) -> int:
    """Width of what a projection gives; GPT-2's is stored transposed."""
    weight = projection.weight
    if not isinstance(weight, Tensor):
        raise TypeError(f"{type(projection).__name__} is no projection")
    return int(weight.shape[0] if isinstance(projection, nn.Linear) else weight.shape[1])


def is_projection(module: nn.Module) -> bool:
    """Whether a module is a linear layer, or GPT-2's transposed kind of one."""
    return isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"


def block_names(encoder: Encoder) -> list[str]:
    """Names of an encoder's blocks: the list of modules that has as many as there are hidden states after the first.

    Raises:
        UserError: There is none.
    """
    module = encoder.module
    found = [
        name
        for name, child in module.named_modules()
        if isinstance(child, nn.ModuleList) and len(child) == encoder.n_states - 1
    ]
    stacks = [name for name in found if all(_projections(module, f"{name}.{k}") for k in range(encoder.n_states - 1))]
    if not stacks:
        raise _unknown(encoder, f"no list of {encoder.n_states - 1} blocks with projections")
    outermost = min(stacks, key=lambda name: name.count("."))
    return [f"{outermost}.{k}" for k in range(encoder.n_states - 1)]


def _projections(module: nn.Module, prefix: str) -> list[tuple[str, nn.Module]]:
    return [
        (f"{prefix}.{name}", child)
        for name, child in module.get_submodule(prefix).named_modules()
        if name and is_projection(child)
    ]


def _recorder(trace: _Trace, name: str) -> Callable[[nn.Module, tuple[Any, ...]], None]:
    def record(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        trace.calls.append(_Call(name, id(inputs[0])))
        trace.alive.append(inputs[0])

    return record


def _block(calls: list[_Call], prefix: str, encoder: Encoder) -> TransformerBlock:
    # Modules that reach the block's width after the first group: attention's output, then the feed-forward part.
    attention = _leading_group(calls)
    rest = calls[len(attention) :]
    if len(rest) < 3 or len(attention) not in (1, 3):
        order = ", ".join(call.name.removeprefix(f"{prefix}.") for call in calls) or "none"
        raise _unknown(encoder, f"the projections of its blocks run as {order}")
    queries, keys, values = _queries_keys_values([call.name for call in attention], prefix, encoder)
    return TransformerBlock(
        queries=queries,
        keys=keys,
        values=values,
        attention_output=rest[0].name,
        feed_forward_input=tuple(call.name for call in _leading_group(rest[1:])),
        feed_forward_output=rest[-1].name,
    )


def _leading_group(calls: list[_Call]) -> list[_Call]:
    """The first calls, as long as they read one and the same tensor."""
    group: list[_Call] = []
    for call in calls:
        if call.source != calls[0].source:
            break
        group.append(call)
    return group


def _queries_keys_values(names: list[str], prefix: str, encoder: Encoder) -> tuple[str, str, str]:
    if len(names) == 1:
        return names[0], names[0], names[0]
    by_letter = {name.rsplit(".", 1)[-1][0].lower(): name for name in names}
    if set(by_letter) != {"q", "k", "v"}:
        shown = ", ".join(name.removeprefix(f"{prefix}.") for name in names)
        raise _unknown(encoder, f"which of {shown} are queries, keys and values is not told by their names")
    return by_letter["q"], by_letter["k"], by_letter["v"]


def _unknown(encoder: Encoder, what: str) -> UserError:
    return UserError(
        f"the model is not built of Transformer blocks that can be adapted: {what}",
        where=str(encoder.identity.get("model")),
        how="use the methods iisan, frozen, bitfit or full, which need no blocks",
    )
