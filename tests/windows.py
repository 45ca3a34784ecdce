"""What ops compute that slide a window over a batch `[N, *sample]`, from their definitions."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from foldbn import ops
from foldbn.affine import Array


def grouped(op: ops.Conv, pixel: Array, tap: Array) -> Array:
    """Multiply channels `[N, in]` with one tap `[in / groups, out]`, group by group."""
    size, out = tap.shape[0], tap.shape[1] // op.groups
    parts = [
        pixel[:, g * size : (g + 1) * size] @ tap[:, g * out : (g + 1) * out]
        for g in range(op.groups)
    ]
    return np.concatenate(parts, axis=1)


def depthwise(_: ops.Conv, pixel: Array, tap: Array) -> Array:
    """Multiply channels `[N, in]` with one tap `[in, multiplier]`, each by itself."""
    channels, multiplier = tap.shape
    parts = [pixel[:, c] * tap[c, m] for c in range(channels) for m in range(multiplier)]
    return np.stack(parts, axis=1)


def convolution(mix: Callable[[ops.Conv, Array, Array], Array]) -> Callable[..., Array]:
    """Make an evaluator that slides a window and lets `mix` join pixel and tap."""

    def evaluator(op: ops.Conv, x: Array) -> Array:
        x = np.moveaxis(x, op.channel_axis + 1, -1)
        extents = [(k - 1) * d + 1 for k, d in zip(op.window, op.dilations, strict=True)]
        borders = [
            border(op.padding, axis, n, extents[axis], op.strides[axis])
            for axis, n in enumerate(x.shape[1:-1])
        ]
        x = np.pad(x, [(0, 0), *borders, (0, 0)])
        places = [
            (n - extent) // stride + 1
            for n, extent, stride in zip(x.shape[1:-1], extents, op.strides, strict=True)
        ]
        rows = []
        for place in np.ndindex(*places):
            total = 0.0
            for tap in np.ndindex(*op.window):
                at = _reached(op, place, tap)
                total = total + mix(op, x[(slice(None), *at)], op.kernel[tap])
            rows.append(total if op.bias is None else total + op.bias)
        y = np.stack(rows, axis=1).reshape(len(x), *places, -1)
        return np.moveaxis(y, -1, op.channel_axis + 1)

    return evaluator


def _reached(op: ops.Conv, place: tuple[int, ...], tap: tuple[int, ...]) -> tuple[int, ...]:
    """Return the pixel that `tap` of the window at `place` lies on."""
    steps = zip(place, op.strides, tap, op.dilations, strict=True)
    return tuple(p * stride + t * dilation for p, stride, t, dilation in steps)


def border(padding: object, axis: int, size: int, extent: int, stride: int) -> tuple[int, int]:
    """Return how many zeros stand before and after an axis; ``same`` as TensorFlow means it."""
    if padding == "valid":
        return 0, 0
    if padding != "same":
        return padding[axis]  # type: ignore[index]
    results = math.ceil(size / stride)
    missing = max(0, (results - 1) * stride + extent - size)
    return missing // 2, missing - missing // 2


def conv_transpose(op: ops.ConvTranspose, x: Array) -> Array:
    """Let each input pixel spread its window over the output."""
    x = np.moveaxis(x, op.channel_axis + 1, -1)
    size = x.shape[1:-1]
    extents = [(k - 1) * d + 1 for k, d in zip(op.window, op.dilations, strict=True)]
    full = [max((n - 1) * s + e, n * s) for n, s, e in zip(size, op.strides, extents, strict=True)]
    y = np.zeros((len(x), *full, op.kernel.shape[-2]))
    for place in np.ndindex(*size):
        for tap in np.ndindex(*op.window):
            at = _reached(op, place, tap)
            y[(slice(None), *at)] += x[(slice(None), *place)] @ op.kernel[tap].T
    for axis, (n, stride, extent) in enumerate(zip(size, op.strides, extents, strict=True)):
        if op.padding == "same":
            y = y.take(range((m := max(extent - stride, 0) // 2), m + n * stride), axis=axis + 1)
        elif op.padding != "valid":
            before, after = op.padding[axis]
            y = y.take(range(before, full[axis] - after), axis=axis + 1)
    y = y if op.bias is None else y + op.bias
    return np.moveaxis(y, -1, op.channel_axis + 1)


def pool(
    x: Array,
    reduce: Callable[..., Array],
    axes: tuple[int, ...],
    *,
    window: int = 3,
    stride: int = 2,
    padding: str = "same",
) -> Array:
    """Reduce each window over what it covers of the input: padding is left out."""
    shape, starts = list(x.shape), {}
    for axis in (a + 1 for a in axes):
        before, after = border(padding, 0, x.shape[axis], window, stride)
        places = (x.shape[axis] + before + after - window) // stride + 1
        starts[axis] = [p * stride - before for p in range(places)]
        shape[axis] = places
    y = np.empty(shape)
    for place in np.ndindex(*(len(each) for each in starts.values())):
        source, target = [slice(None)] * x.ndim, [slice(None)] * x.ndim
        for p, (axis, begins) in zip(place, starts.items(), strict=True):
            source[axis] = slice(max(begins[p], 0), begins[p] + window)
            target[axis] = slice(p, p + 1)
        y[tuple(target)] = reduce(x[tuple(source)], axis=tuple(starts), keepdims=True)
    return y
