"""Ops that rename positions: the map's arrays are re-indexed the same way.

A o f == f o A'  and  f o A' == A o f      where A' is A seen through f
"""

from __future__ import annotations

import math

import numpy as np

from foldbn import ops
from foldbn.affine import Affine, Array
from foldbn.rules.table import Blocks, Outcome, Passes, backward, forward


def _refold(part: Array, source: tuple[int, ...], target: tuple[int, ...]) -> Array | None:
    """Return a sample-shaped array `[*source]` as `[*target]`, or None where it cannot be.

    Where target is the smaller sample, several targets make up one source: they must be
    equal. Where it is the greater one, the source repeats.
    """
    flat = np.broadcast_to(part, source).ravel()
    inner, outer = math.prod(target), flat.size
    if outer > inner:
        rows = flat.reshape(outer // inner, inner)
        if (rows != rows[0]).any():
            return None
        flat = rows[0]
    return np.tile(flat, inner // flat.size).reshape(target)


def _reshaped(affine: Affine, op: ops.Reshape, *, back: bool) -> Outcome:
    """Reshape a map, which must be the same along all axes that count with the batch axis."""
    (inner, outer), (source, target) = op.blocks, (op.source, op.target)
    if back:
        inner, outer, source, target = outer, inner, target, source
    even, leading = affine.compact(), tuple(range(len(source) - len(inner)))
    if even.varies_along(leading):
        return _into_batch()
    scale, shift = (_refold(part.squeeze(leading), inner, outer) for part in even.parts)
    if scale is None or shift is None:
        return _into_batch()
    form = (*[1] * (len(target) - len(outer)), *outer)
    return Passes(op, (Affine(scale.reshape(form), shift.reshape(form)).compact(),))


def _into_batch() -> Blocks:
    return Blocks("Reshape moves an axis along which the map varies into the batch axis")


@forward.rule(ops.Reshape)
def reshape_forward(op: ops.Reshape, affine: Affine) -> Outcome:
    """Reshape the map: row-major order is the same before and after."""
    return _reshaped(affine, op, back=False)


@backward.rule(ops.Reshape)
def reshape_backward(op: ops.Reshape, affine: Affine) -> Outcome:
    """Reshape the map the other way."""
    return _reshaped(affine, op, back=True)


def _apply(affine: Affine, axes: tuple[int, ...], *, insert: bool) -> Affine:
    change = np.expand_dims if insert else np.squeeze
    return Affine(*(change(part, axes) for part in affine.parts))


@forward.rule(ops.Squeeze)
def squeeze_forward(op: ops.Squeeze, affine: Affine) -> Outcome:
    """Drop the axes from the map as well."""
    return Passes(op, (_apply(affine, op.axes, insert=False),))


@backward.rule(ops.Squeeze)
def squeeze_backward(op: ops.Squeeze, affine: Affine) -> Outcome:
    """Put the axes into the map."""
    return Passes(op, (_apply(affine, op.axes, insert=True),))


@forward.rule(ops.ExpandDims)
def expand_dims_forward(op: ops.ExpandDims, affine: Affine) -> Outcome:
    """Put the axes into the map as well."""
    return Passes(op, (_apply(affine, op.axes, insert=True),))


@backward.rule(ops.ExpandDims)
def expand_dims_backward(op: ops.ExpandDims, affine: Affine) -> Outcome:
    """Drop the axes from the map."""
    return Passes(op, (_apply(affine, op.axes, insert=False),))


@forward.rule(ops.Transpose)
def transpose_forward(op: ops.Transpose, affine: Affine) -> Outcome:
    """Permute the axes of the map as well."""
    return Passes(op, (Affine(*(part.transpose(op.permutation) for part in affine.parts)),))


@backward.rule(ops.Transpose)
def transpose_backward(op: ops.Transpose, affine: Affine) -> Outcome:
    """Permute the axes of the map the other way."""
    inverse = tuple(np.argsort(op.permutation).tolist())
    return Passes(op, (Affine(*(part.transpose(inverse) for part in affine.parts)),))


def _turned(affine: Affine, op: ops.BatchTranspose, order: tuple[int, ...]) -> Outcome:
    """Permute the axes of a map with its batch axis, along which it must stay the same."""
    parts = [part[None].transpose(order) for part in affine.compact().parts]
    if any(len(part) > 1 for part in parts):
        return Blocks("Transpose makes the batch axis of one along which the map varies")
    return Passes(op, (Affine(*(part[0] for part in parts)),))


@forward.rule(ops.BatchTranspose)
def batch_transpose_forward(op: ops.BatchTranspose, affine: Affine) -> Outcome:
    """Permute the axes of the map as well."""
    return _turned(affine, op, op.permutation)


@backward.rule(ops.BatchTranspose)
def batch_transpose_backward(op: ops.BatchTranspose, affine: Affine) -> Outcome:
    """Permute the axes of the map the other way."""
    return _turned(affine, op, tuple(np.argsort(op.permutation).tolist()))
