"""An example of an op, and the words for which maps mathematics lets into it or past it.

They look at the numbers of a map, not at how the rules decide.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from foldbn import ops
from foldbn.affine import Affine, Array
from foldbn.rules import Absorbs, Blocks, Passes
from tests import reference

Maps = Sequence[Affine | None]
Expectation = Callable[[Maps], type]
rng = np.random.default_rng(0)


@dataclass(frozen=True, eq=False)
class Case:
    """An op, the shape of one sample at each port, and the outcome of both directions.

    Attributes:
        run: evaluates the op, where its numbers are not in it.
        batch: length of the batch axis.
    """

    label: str
    op: ops.Op
    shapes: tuple[tuple[int, ...], ...]
    backward: Expectation
    forward: Expectation
    run: Callable[..., Array] = reference.apply
    batch: int = 2

    def inputs(self) -> list[Array]:
        """Return a random batch for each port."""
        draw = np.random.default_rng(7)
        return [draw.normal(size=(self.batch, *shape)) for shape in self.shapes]


def varies(affine: Affine, axes: Sequence[int]) -> bool:
    """Whether two numbers along one of `axes` differ."""
    return any(np.diff(part, axis=axis).any() for part in affine.parts for axis in axes)


def blocks(_: Maps) -> type:
    """Expect a wall."""
    return Blocks


def absorbs(channel: int | None = None, *, shifts: bool = True) -> Expectation:
    """Expect a map to go in if it varies along `channel` alone, or whatever it is."""

    def expectation(maps: Maps) -> type:
        (affine,) = maps
        others = [axis for axis in range(affine.rank) if axis != channel]
        if channel is not None and varies(affine, others):
            return Blocks
        return Blocks if affine.shift.any() and not shifts else Absorbs

    return expectation


def passes(*, negative: bool = True, shifts: bool = True, even: Sequence[int] = ()) -> Expectation:
    """Expect a map to pass unless it has what this op does not let by."""

    def expectation(maps: Maps) -> type:
        (affine,) = maps
        refused = (
            ((affine.scale < 0).any() and not negative)
            or (affine.shift.any() and not shifts)
            or varies(affine, even)
        )
        return Blocks if refused else Passes

    return expectation


def bias_takes(maps: Maps) -> type:
    """Expect a bias to take a shift that comes alone, and to move along with a scale."""
    return Absorbs if (maps[0].scale == 1).all() else Passes


def alike(maps: Maps) -> type:
    """Expect a sum to let by branches of one scale; no map is the scale one."""
    scales = [np.ones(1) if each is None else each.scale for each in maps]
    return Passes if all((scales[0] == scale).all() for scale in scales) else Blocks


def both(_: Maps) -> type:
    """Expect every map to pass."""
    return Passes


def normal(*shape: int) -> Array:
    """Draw weights."""
    return rng.normal(size=shape)
