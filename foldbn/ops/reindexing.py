"""Ops that reduce, rename, take or move positions of a sample."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile
from typing import Literal

from foldbn.ops.base import Op, Size

_POOLS = {"mean": "GlobalAveragePooling", "max": "GlobalMaxPooling", "min": "Min", "sum": "Sum"}


@dataclass(frozen=True)
class GlobalPool(Op):
    """The mean, maximum, minimum or sum over whole `axes` of a sample.

    Attributes:
        kind: which.
        axes: of the sample.
        keepdims: whether they stay, with length 1.
        count: how many numbers go into a sum; 1 for the other kinds.
    """

    kind: Literal["mean", "max", "min", "sum"]
    axes: tuple[int, ...]
    keepdims: bool
    count: int = 1

    @property
    def title(self) -> str:
        """Keras's name for it."""
        return _POOLS[self.kind]


@dataclass(frozen=True)
class Reshape(Op):
    """The same numbers in row-major order under another shape of the sample.

    The product of `source` and of `target` may differ by a whole factor: the rest of the
    axes have moved into the batch axis, or come from there. Likewise a length of None is not
    known, and its axis and all before it count with the batch axis.
    """

    source: Size
    target: Size

    @property
    def blocks(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The lengths of source and target after the last one that is not known."""
        return _known_tail(self.source), _known_tail(self.target)


def _known_tail(size: Size) -> tuple[int, ...]:
    tail = takewhile(lambda length: length is not None, reversed(size))
    return tuple(length for length in tail if length is not None)[::-1]


@dataclass(frozen=True)
class Squeeze(Op):
    """Drops `axes`, which have length 1, from a sample."""

    axes: tuple[int, ...]


@dataclass(frozen=True)
class ExpandDims(Op):
    """Puts axes of length 1 into a sample; `axes` count in the result."""

    axes: tuple[int, ...]


@dataclass(frozen=True)
class Transpose(Op):
    """Axis i of the result is axis ``permutation[i]`` of the sample."""

    permutation: tuple[int, ...]


@dataclass(frozen=True)
class BatchTranspose(Op):
    """Axis i of the whole tensor is axis ``permutation[i]`` of it before: another one leads."""

    permutation: tuple[int, ...]

    @property
    def title(self) -> str:
        """The field's name for it."""
        return "Transpose"


@dataclass(frozen=True)
class Select(Op):
    """Takes positions of a sample: cropping, slicing, tiling, repeating, reversing, mirroring.

    Attributes:
        name: what a person calls it.
        indices: for each axis of the sample the positions taken along it, or None for all.
        source: length of each axis before; None where it is not known and all is taken.
        dropped: axes of the sample that go away, of which one position is taken.
    """

    name: str
    indices: tuple[tuple[int, ...] | None, ...]
    source: Size
    dropped: tuple[int, ...] = ()

    @property
    def title(self) -> str:
        """The op's name."""
        return self.name


@dataclass(frozen=True)
class SpaceToDepth(Op):
    """Moves squares of ``block x block`` pixels of ``[H, W, C]`` into the channels, or back.

    Channel ``(dy * block + dx) * C + c`` is channel c of the pixel at dy, dx of the square.
    """

    block: int
    inverse: bool = False

    @property
    def title(self) -> str:
        """TensorFlow's name for it."""
        return "DepthToSpace" if self.inverse else "SpaceToDepth"
