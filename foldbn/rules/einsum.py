"""Products with a constant, summed over labels: ``y = einsum(x, W) + b``.

backward:  s * (einsum(x, W) + b) + t == einsum(x, s * W) + (s * b + t)     labels of s in W
           s * (einsum(x, W) + b) + t == einsum(s * x, W) + (s * b + t)     none of them in W
forward:   einsum(s * x + t, W) + b == einsum(x, s * W) + (einsum(t, W) + b)
           einsum(s * x + t, W) + b == s * einsum(x, W) + (einsum(t, W) + b)

A label of s is one along which it varies.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from foldbn import ops
from foldbn.affine import Affine, Array
from foldbn.rules.table import Absorbs, Blocks, Outcome, Passes, backward, forward


@backward.rule(ops.Einsum)
def einsum_backward(op: ops.Einsum, affine: Affine) -> Outcome:
    """Scale the kernel, or the sample where the kernel lacks the labels of the scale."""
    data, own, result = op.labels
    scale = _compact(affine.scale)
    inside = _inside(scale, result, own)
    if inside is None:
        return _torn()
    bias = affine.shift if op.bias is None else affine(op.bias)
    moved = replace(op, bias=bias if bias.any() else None)
    if inside:
        return Absorbs(replace(moved, kernel=op.kernel * _laid_out(scale, result, own)))
    return Passes(moved, (_scaling(_laid_out(scale, result, data)),))


@forward.rule(ops.Einsum)
def einsum_forward(op: ops.Einsum, affine: Affine) -> Outcome:
    """Scale the kernel, or the result; the shift goes where the scale goes."""
    data, own, result = op.labels
    scale = _compact(affine.scale)
    inside = _inside(scale, data, own)
    if inside is None:
        return _torn()
    shift = _image(op, affine.shift)
    shift = shift if op.bias is None else shift + op.bias
    if inside:
        kernel = op.kernel * _laid_out(scale, data, own)
        return Absorbs(replace(op, kernel=kernel, bias=shift if shift.any() else None))
    on = _laid_out(scale, data, result)
    return Passes(replace(op, bias=None), (Affine(on, shift),))


def _image(op: ops.Einsum, shift: Array) -> Array:
    """Return ``einsum(shift, W)``, with length 1 along labels that only the shift has."""
    data, own, result = op.labels
    lengths = dict(zip(own, op.kernel.shape, strict=True))
    shape = [lengths.get(label, n) for label, n in zip(data, shift.shape, strict=True)]
    numbers = {label: place for place, label in enumerate(dict.fromkeys(data + own + result))}
    first, second, last = ([numbers[label] for label in labels] for labels in op.labels)
    image: Array = np.einsum(np.broadcast_to(shift, shape), first, op.kernel, second, last)
    return image


def _torn() -> Blocks:
    return Blocks("the scale varies along axes of the kernel and along others")


def _inside(scale: Array, labels: str, own: str) -> bool | None:
    """Whether all labels of a scale are the kernel's; None if only some are."""
    found = {label in own for label, n in zip(labels, scale.shape, strict=True) if n != 1}
    return None if len(found) > 1 else found != {False}


def _laid_out(part: Array, source: str, target: str) -> Array:
    """Return an array with an axis for each label of `source` with one for each of `target`.

    It has length 1 along each label that only one of them has.
    """
    order = [source.index(label) for label in target if label in source]
    rest = [axis for axis in range(part.ndim) if axis not in order]
    lengths = [part.shape[source.index(label)] if label in source else 1 for label in target]
    return part.transpose(order + rest).reshape(lengths)


def _scaling(scale: Array) -> Affine:
    return Affine(scale, np.zeros_like(scale))


def _compact(scale: Array) -> Array:
    return _scaling(scale).compact().scale
