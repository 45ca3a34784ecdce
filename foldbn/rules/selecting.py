"""Ops that take positions of their input, each any number of times.

forward:   y[j] = x[i(j)]    has the map of position i(j) at j
backward:  position i gets the map that all its readers j want, which must be one
"""

from __future__ import annotations

import numpy as np

from foldbn import ops
from foldbn.affine import Affine, Array
from foldbn.rules.table import Blocks, Outcome, Passes, backward, forward


@forward.rule(ops.Select)
def select_forward(op: ops.Select, affine: Affine) -> Outcome:
    """Take the same positions of the map."""
    scale, shift = (_taken(part, op) for part in affine.parts)
    return Passes(op, (Affine(scale, shift).compact(),))


def _taken(part: Array, op: ops.Select) -> Array:
    for axis, indices in enumerate(op.indices):
        if indices is not None and part.shape[axis] != 1:
            part = part.take(indices, axis=axis)
    return part.squeeze(op.dropped) if op.dropped else part


@backward.rule(ops.Select)
def select_backward(op: ops.Select, affine: Affine) -> Outcome:
    """Give each position the map of its readers; one that nobody reads gets any map."""
    parts: tuple[Array, ...] = affine.parts
    if op.dropped:
        parts = tuple(np.expand_dims(part, op.dropped) for part in parts)
    for axis, indices in enumerate(op.indices):
        if indices is not None:
            placed = [_placed(part, axis, indices, op.source[axis]) for part in parts]
            if any(part is None for part in placed):
                return Blocks(f"{op.title} reads one position for several scales or shifts")
            parts = tuple(part for part in placed if part is not None)
    return Passes(op, (Affine(*parts).compact(),))


def _placed(part: Array, axis: int, indices: tuple[int, ...], length: int | None) -> Array | None:
    """Return `part` before positions `indices` were taken, None where readers disagree."""
    if part.shape[axis] == 1:
        return part
    reader = np.zeros(length or 1, int)
    reader[list(indices)] = np.arange(len(indices))
    before = part.take(reader, axis=axis)
    return before if (before.take(indices, axis=axis) == part).all() else None


@forward.rule(ops.SpaceToDepth)
def space_to_depth_forward(op: ops.SpaceToDepth, affine: Affine) -> Outcome:
    """Repeat the map of the channels for each pixel of a square; or gather it again."""
    return _shuffled(op, affine, spread=not op.inverse)


@backward.rule(ops.SpaceToDepth)
def space_to_depth_backward(op: ops.SpaceToDepth, affine: Affine) -> Outcome:
    """Do the same the other way."""
    return _shuffled(op, affine, spread=op.inverse)


def _shuffled(op: ops.SpaceToDepth, affine: Affine, *, spread: bool) -> Outcome:
    if affine.varies_along((0, 1)):
        return Blocks(f"{op.title} mixes positions whose scale or shift differ")
    pixels = op.block**2
    moved = []
    for part in affine.parts:
        channels = part.ravel()
        if channels.size > 1 and spread:
            channels = np.tile(channels, pixels)
        elif channels.size > 1:
            rows = channels.reshape(pixels, -1)
            if (rows != rows[0]).any():
                return Blocks(f"{op.title} mixes channels whose scale or shift differ")
            channels = rows[0]
        moved.append(channels.reshape(1, 1, -1))
    return Passes(op, (Affine(*moved),))
