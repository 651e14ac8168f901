"""A computation to be exported: a module, what goes in, what comes out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

DType = Literal["float32", "bool", "int64"]


@dataclass(frozen=True)
class Port:
    """One input or output.

    Attributes:
        name: Its name in the graph.
        dtype: Of its numbers.
        shape: Sizes; a name stands for a size that each call may choose.
        meaning: What it holds, in a sentence without a full stop.
        below: Numbers of an int64 input are 0 to this, exclusive.
    """

    name: str
    dtype: DType
    shape: tuple[str | int, ...]
    meaning: str
    below: int = 1

    def random(self, sizes: Mapping[str, int], generator: torch.Generator) -> Tensor:
        """Numbers that it may hold, for sizes by their names."""
        shape = [sizes[size] if isinstance(size, str) else size for size in self.shape]
        if self.dtype == "float32":
            return torch.randn(shape, generator=generator)
        if self.dtype == "bool":
            return torch.rand(shape, generator=generator) < 0.75
        return torch.randint(self.below, shape, generator=generator)


@dataclass(frozen=True, eq=False)
class Graph:
    """A computation.

    Attributes:
        module: Takes the inputs in their order, gives the output; it is recorded.
        inputs: What goes in.
        output: What comes out.
        longest: Largest value of a size by its name, where there is one.
        reference: What it must compute, where that is not the module itself.
    """

    module: nn.Module
    inputs: tuple[Port, ...]
    output: Port
    longest: Mapping[str, int] = field(default_factory=dict)
    reference: nn.Module | None = None

    @property
    def sizes(self) -> list[str]:
        """Names of the sizes that each call may choose."""
        return sorted({size for port in self.inputs for size in port.shape if isinstance(size, str)})
