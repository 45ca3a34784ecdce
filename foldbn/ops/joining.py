"""Ops of several inputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from foldbn.ops.base import Op, Size


@dataclass(frozen=True)
class Add(Op):
    """The sum of inputs of one shape, or the first less the second."""

    arity: int = 2
    subtracts: bool = False

    @property
    def title(self) -> str:
        """Keras's name for it."""
        return "Subtract" if self.subtracts else "Add"


@dataclass(frozen=True)
class Multiply(Op):
    """The product of two inputs, which may broadcast.

    Attributes:
        samples: shapes of one sample of both, of one rank.
        into: the port that a scale moves back to.
    """

    samples: tuple[Size, Size]
    into: int = 0


@dataclass(frozen=True)
class Extremum(Op):
    """The elementwise maximum or minimum of two inputs of one shape."""

    name: Literal["Maximum", "Minimum"]

    @property
    def title(self) -> str:
        """Keras's name for it."""
        return self.name


@dataclass(frozen=True)
class Concat(Op):
    """Joins inputs along `axis` of the sample; `sizes` are the lengths joined."""

    axis: int
    sizes: tuple[int, ...]


@dataclass(frozen=True)
class Stack(Op):
    """Joins `arity` inputs of one shape along a new axis of the sample."""

    axis: int
    arity: int
