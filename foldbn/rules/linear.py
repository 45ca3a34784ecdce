"""Layers with a kernel: they take a map into their kernel and bias.

    backward:  s * (W x + b) + t  ==  (s * W) x + (s * b + t)       output channels
    forward:   W (s * x + t) + b  ==  (W * s) x + (W t + b)         input channels

A map that varies along a spatial axis cannot go into a kernel that slides along it, and
a shift meets the zeros of a padded border, which it does not reach: only the scale of
zero is zero.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from foldbn import ops
from foldbn.affine import Affine, Array
from foldbn.rules.table import Absorbs, Blocks, Maps, Outcome, backward, forward


def _per_channel(affine: Affine, axis: int, channels: int) -> tuple[Array, Array] | None:
    """Return scale and shift as ``[channels]``, or None if they vary along other axes."""
    others = tuple(other for other in range(affine.rank) if other != axis)
    if affine.varies_along(others):
        return None
    scale, shift = (np.broadcast_to(part.ravel(), (channels,)) for part in affine.parts)
    return scale, shift


def _moved(bias: Array | None, scale: Array, shift: Array) -> Array | None:
    """Return ``scale * bias + shift``, or None where nothing is left of it."""
    moved = shift if bias is None else scale * bias + shift
    return moved if bias is not None or moved.any() else None


def _raised(bias: Array | None, more: Array) -> Array | None:
    """Return ``bias + more``, or None where there is neither."""
    return _moved(bias, np.ones_like(more), more)


def _uneven(op: ops.Op) -> Blocks:
    return Blocks(f"the scale or shift varies along an axis that {op.title} slides along")


@backward.rule(ops.Dense)
def dense_backward(op: ops.Dense, affine: Affine) -> Outcome:
    """Scale the kernel's columns: ``s * (x @ W + b) + t == x @ (W * s) + (s * b + t)``."""
    parts = _per_channel(affine, op.rank - 1, op.kernel.shape[1])
    if parts is None:
        return _uneven(op)
    scale, shift = parts
    return Absorbs(replace(op, kernel=op.kernel * scale, bias=_moved(op.bias, scale, shift)))


@forward.rule(ops.Dense)
def dense_forward(op: ops.Dense, affine: Affine) -> Outcome:
    """Scale the kernel's rows: ``(s * x + t) @ W + b == x @ (s[:, None] * W) + (t @ W + b)``."""
    parts = _per_channel(affine, op.rank - 1, op.kernel.shape[0])
    if parts is None:
        return _uneven(op)
    scale, shift = parts
    kernel = scale[:, None] * op.kernel
    return Absorbs(replace(op, kernel=kernel, bias=_raised(op.bias, shift @ op.kernel)))


@backward.rule(ops.Conv)
def conv_backward(op: ops.Conv, affine: Affine) -> Outcome:
    """Scale the kernel's output channels, its last axis, in every group alike."""
    parts = _per_channel(affine, op.channel_axis, op.kernel.shape[-1])
    if parts is None:
        return _uneven(op)
    scale, shift = parts
    return Absorbs(replace(op, kernel=op.kernel * scale, bias=_moved(op.bias, scale, shift)))


@backward.rule(ops.DepthwiseConv)
def depthwise_backward(op: ops.DepthwiseConv, affine: Affine) -> Outcome:
    """Scale each output channel, which lies at ``[in, multiplier]`` in the kernel."""
    channels = op.kernel.shape[-2:]
    parts = _per_channel(affine, op.channel_axis, channels[0] * channels[1])
    if parts is None:
        return _uneven(op)
    scale, shift = parts
    kernel = op.kernel * scale.reshape(channels)
    return Absorbs(replace(op, kernel=kernel, bias=_moved(op.bias, scale, shift)))


@backward.rule(ops.ConvTranspose)
def conv_transpose_backward(op: ops.ConvTranspose, affine: Affine) -> Outcome:
    """Scale the kernel's output channels, its last axis but one."""
    parts = _per_channel(affine, op.channel_axis, op.kernel.shape[-2])
    if parts is None:
        return _uneven(op)
    scale, shift = parts
    kernel = op.kernel * scale[:, None]
    return Absorbs(replace(op, kernel=kernel, bias=_moved(op.bias, scale, shift)))


@forward.rule(ops.Conv)
def conv_forward(op: ops.Conv, affine: Affine) -> Outcome:
    """Scale the kernel's input channels; a channel reaches its own group only.

    The kernel ``[*window, in / groups, out]`` is seen as
    ``[*window, in / groups, groups, out / groups]``.
    """
    *window, inner, out = op.kernel.shape
    found = _input_parts(op, affine, inner * op.groups)
    if isinstance(found, Blocks):
        return found
    scale, shift = (part.reshape(op.groups, inner).T[:, :, None] for part in found)
    grouped = op.kernel.reshape(*window, inner, op.groups, out // op.groups)
    kernel = (grouped * scale).reshape(op.kernel.shape)
    image = (grouped * shift).sum(axis=tuple(range(len(window) + 1))).reshape(out)
    return Absorbs(replace(op, kernel=kernel, bias=_raised(op.bias, image)))


@forward.rule(ops.DepthwiseConv)
def depthwise_forward(op: ops.DepthwiseConv, affine: Affine) -> Outcome:
    """Scale the kernel's input channels, its last axis but one."""
    found = _input_parts(op, affine, op.kernel.shape[-2])
    if isinstance(found, Blocks):
        return found
    scale, shift = (part[:, None] for part in found)
    image = (op.kernel * shift).sum(axis=tuple(range(len(op.window)))).ravel()
    return Absorbs(replace(op, kernel=op.kernel * scale, bias=_raised(op.bias, image)))


@forward.rule(ops.ConvTranspose)
def conv_transpose_forward(op: ops.ConvTranspose, affine: Affine) -> Outcome:
    """Scale the kernel's input channels, its last axis; a shift needs a window of one.

    Windows overlap, or leave gaps, unevenly towards the border, so the image of a
    constant is constant only where each output has exactly one input.
    """
    found = _per_channel(affine, op.channel_axis, op.kernel.shape[-1])
    if found is None:
        return _uneven(op)
    scale, shift = found
    if affine.has_shift and (max(op.window) > 1 or max(op.strides) > 1):
        return Blocks("a shift spreads unevenly through a transposed convolution")
    image = (op.kernel * shift).sum(axis=(*range(len(op.window)), -1))
    return Absorbs(replace(op, kernel=op.kernel * scale, bias=_raised(op.bias, image)))


def _input_parts(op: ops.Conv, affine: Affine, channels: int) -> tuple[Array, Array] | Blocks:
    """Return scale and shift per input channel, or why the convolution cannot take them."""
    parts = _per_channel(affine, op.channel_axis, channels)
    if parts is None:
        return _uneven(op)
    if affine.has_shift and op.pads is not False:
        return Blocks(
            "the convolution pads its input with zeros, which the shift does not reach"
            if op.pads
            else "the convolution may pad its input with zeros: its size is not known"
        )
    return parts


@backward.rule(ops.Embedding)
def embedding_backward(op: ops.Embedding, affine: Affine) -> Outcome:
    """Map every row of the table: ``s * table[i] + t == (s * table + t)[i]``."""
    features = op.table.shape[1:]
    places = tuple(range(op.rank - len(features)))
    if affine.varies_along(places):
        return _uneven(op)
    scale, shift = (part.reshape(part.shape[len(places) :]) for part in affine.parts)
    return Absorbs(replace(op, table=op.table * scale + shift))


@forward.join(ops.Recurrence)
def recurrence_forward(op: ops.Recurrence, maps: Maps) -> Outcome:
    """Let every step take the map into its kernel and bias, as Dense does."""
    affine = maps[0]
    if affine is None or any(other is not None for other in maps[1:]):
        return Blocks(f"{op.title} lets no affine map into its state")
    parts = _per_channel(affine, affine.rank - 1, op.kernel.shape[0])
    if parts is None:
        return _uneven(op)
    scale, shift = parts
    if op.bias is None and shift.any():
        return Blocks(f"{op.title} has no bias for the shift")
    bias = _raised(op.bias, shift @ op.kernel)
    return Absorbs(replace(op, kernel=scale[:, None] * op.kernel, bias=bias))
