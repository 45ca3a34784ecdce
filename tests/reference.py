"""What every op computes, in float64 and from its definition: the judge of every fold.

Nothing here knows a rule. Batches are `[N, *sample]`; loops are slow where that is clearer.
Ops of type Commuting carry no numbers, so `COMMUTING` fixes a window, slope or border for
each name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise

import numpy as np

from foldbn import ops
from foldbn.affine import Affine, Array
from foldbn.graph import Graph
from tests import windows


def apply(op: ops.Op, *inputs: Array) -> Array:
    """Return what `op` makes of a batch for each of its ports."""
    return EVALUATORS[type(op)](op, *inputs)


def mapped(affine: Affine | None, x: Array) -> Array:
    """Return ``scale * x + shift``, one sample after the other; None maps nothing."""
    if affine is None:
        return x
    return np.stack([affine.scale * sample + affine.shift for sample in x])


def evaluate(graph: Graph, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """Return every model output for a batch of every model input."""
    values = dict(feeds)
    for node in graph:
        result = apply(node.op, *(values[tensor] for tensor in node.inputs))
        results = result if isinstance(result, tuple) else (result,)
        values.update(zip(node.outputs, results, strict=True))
    return {tensor: values[tensor] for tensor in graph.outputs}


def dense(op: ops.Dense, x: Array) -> Array:
    """Sum over the last axis."""
    columns = [(x * column).sum(axis=-1) for column in op.kernel.T]
    y = np.stack(columns, axis=-1)
    return y if op.bias is None else y + op.bias


def zero_pad(x: Array, axes: tuple[int, ...], before: int = 1, after: int = 2) -> Array:
    """Put zeros before and after `axes` of the sample."""
    widths = [(before, after) if axis - 1 in axes else (0, 0) for axis in range(x.ndim)]
    return np.pad(x, widths)


def space_to_batch(x: Array, axes: tuple[int, ...], *, padded: bool) -> Array:
    """Move the pixels of a grid of 2 along each of `axes` to the batch axis."""
    for axis in (a + 1 for a in axes) if padded else ():
        widths = [(2, x.shape[axis] % 2) if each == axis else (0, 0) for each in range(x.ndim)]
        x = np.pad(x, widths)
    return np.concatenate([x[_grid(x, axes, start)] for start in np.ndindex(*(2,) * len(axes))])


def batch_to_space(x: Array, axes: tuple[int, ...]) -> Array:
    """Undo SpaceToBatch, then crop one pixel from the end of each of `axes`."""
    starts = list(np.ndindex(*(2,) * len(axes)))
    shape = [n * 2 if axis - 1 in axes else n for axis, n in enumerate(x.shape)]
    y = np.empty((len(x) // len(starts), *shape[1:]))
    for start, part in zip(starts, np.split(x, len(starts)), strict=True):
        y[_grid(y, axes, start)] = part
    for axis in axes:
        y = y.take(range(y.shape[axis + 1] - 1), axis=axis + 1)
    return y


def _grid(x: Array, axes: tuple[int, ...], start: tuple[int, ...]) -> tuple[slice, ...]:
    begins = dict(zip(axes, start, strict=True))
    return tuple(
        slice(begins[axis - 1], None, 2) if axis - 1 in begins else slice(None)
        for axis in range(x.ndim)
    )


def global_pool(op: ops.GlobalPool, x: Array) -> Array:
    """Take the mean, maximum, minimum or sum over whole axes."""
    reduce = {"mean": np.mean, "max": np.max, "min": np.min, "sum": np.sum}[op.kind]
    return reduce(x, axis=tuple(axis + 1 for axis in op.axes), keepdims=op.keepdims)


def expand_dims(op: ops.ExpandDims, x: Array) -> Array:
    """Insert axes of length 1, the first one first."""
    shape = list(x.shape)
    for axis in sorted(op.axes):
        shape.insert(axis + 1, 1)
    return x.reshape(shape)


def squeeze(op: ops.Squeeze, x: Array) -> Array:
    """Take out axes of length 1, the last one first."""
    for axis in sorted(op.axes, reverse=True):
        x = x.take(0, axis=axis + 1)
    return x


def transpose(op: ops.Transpose, x: Array) -> Array:
    """Let axis i of the result be axis ``permutation[i]`` of the sample."""
    y = np.empty((len(x), *(x.shape[axis + 1] for axis in op.permutation)))
    for place in np.ndindex(*x.shape[1:]):
        y[(slice(None), *(place[axis] for axis in op.permutation))] = x[(slice(None), *place)]
    return y


def concat(op: ops.Concat, *inputs: Array) -> Array:
    """Write one input behind the other."""
    ends = [0, *np.cumsum([x.shape[op.axis + 1] for x in inputs])]
    shape = list(inputs[0].shape)
    shape[op.axis + 1] = ends[-1]
    y = np.empty(shape)
    for x, (begin, end) in zip(inputs, pairwise(ends), strict=True):
        y[(*[slice(None)] * (op.axis + 1), slice(begin, end))] = x
    return y


def embedding(op: ops.Embedding, x: Array) -> Array:
    """Look up a row for each number, the sign and fraction of which do not count."""
    rows = np.abs(x).astype(int) % len(op.table)
    return np.stack([np.stack([op.table[i] for i in sample]) for sample in rows])


def select(op: ops.Select, x: Array) -> Array:
    """Take positions one axis after the other."""
    for axis, indices in enumerate(op.indices):
        if indices is not None:
            x = np.stack([x.take(i, axis=axis + 1) for i in indices], axis=axis + 1)
    for axis in sorted(op.dropped, reverse=True):
        x = x.take(0, axis=axis + 1)
    return x


def space_to_depth(op: ops.SpaceToDepth, x: Array) -> Array:
    """Write each pixel of a square behind the other, or a square from its channels."""
    b, (n, height, width, channels) = op.block, x.shape
    if op.inverse:
        y = np.empty((n, height * b, width * b, channels // b**2))
        for dy, dx in np.ndindex(b, b):
            begin = (dy * b + dx) * y.shape[-1]
            y[:, dy::b, dx::b] = x[..., begin : begin + y.shape[-1]]
        return y
    return np.concatenate([x[:, dy::b, dx::b] for dy, dx in np.ndindex(b, b)], axis=-1)


def upsampled(x: Array, axes: tuple[int, ...]) -> Array:
    """Double `axes` of the sample by linear interpolation."""
    for axis in (a + 1 for a in axes):
        n = x.shape[axis]
        places = np.clip((np.arange(2 * n) + 0.5) / 2 - 0.5, 0, n - 1)
        low = np.floor(places).astype(int)
        part = (places - low).reshape([-1 if a == axis else 1 for a in range(x.ndim)])
        high = np.minimum(low + 1, n - 1)
        x = x.take(low, axis=axis) * (1 - part) + x.take(high, axis=axis) * part
    return x


def prelu(x: Array) -> Array:
    """PReLU with another slope for each channel, some of them negative."""
    return np.where(x > 0, x, np.linspace(-0.5, 1.5, x.shape[-1]) * x)


COMMUTING: dict[str, Callable[[ops.Commuting, Array], Array]] = {
    "Identity": lambda _, x: x,
    "ReLU": lambda _, x: np.where(x > 0, x, 0.0),
    "LeakyReLU": lambda _, x: np.where(x > 0, x, 0.3 * x),
    "PReLU": lambda _, x: prelu(x),
    "Abs": lambda _, x: np.maximum(x, -x),
    "bilinear resizing": lambda op, x: upsampled(x, op.uniform_axes),
    "MaxPool": lambda op, x: windows.pool(x, np.max, op.uniform_axes),
    "AveragePool": lambda op, x: windows.pool(x, np.mean, op.uniform_axes),
    "zero padding": lambda op, x: zero_pad(x, op.uniform_axes),
    "SpaceToBatch": lambda op, x: space_to_batch(x, op.uniform_axes, padded=not op.shifts),
    "BatchToSpace": lambda op, x: batch_to_space(x, op.uniform_axes),
}

OPAQUE: dict[str, Callable[..., object]] = {
    "Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "Split": lambda x: tuple(np.split(x, 2, axis=-1)),
}


def einsum(op: ops.Einsum, x: Array) -> Array:
    """Add up the products of all numbers whose labels agree."""
    data, own, result = op.labels
    lengths = dict(zip(data + own, x.shape[1:] + op.kernel.shape, strict=True))
    y = np.zeros((len(x), *(lengths[label] for label in result)))
    for place in np.ndindex(*lengths.values()):
        at = dict(zip(lengths, place, strict=True))
        left, right, to = (tuple(at[label] for label in term) for term in (data, own, result))
        y[(slice(None), *to)] += x[(slice(None), *left)] * op.kernel[right]
    return y if op.bias is None else y + op.bias


def recurrence(op: ops.Recurrence, x: Array, *states: Array) -> Array:
    """Keep a running mean of what the steps are projected to, from a first state if given."""
    state = states[0] if states else np.zeros((len(x), op.kernel.shape[1]))
    for step in range(x.shape[1]):
        projected = x[:, step] @ op.kernel
        state = np.tanh(state / 2 + (projected if op.bias is None else projected + op.bias))
    return state


EVALUATORS: dict[type[ops.Op], Callable[..., Array]] = {
    ops.Opaque: lambda op, *inputs: OPAQUE[op.kind](*inputs),
    ops.ShapeOf: lambda _, x: np.array(x.shape, np.float64),
    ops.AffineOp: lambda op, x: mapped(op.affine, x),
    ops.Bias: lambda op, x: np.stack([sample + op.bias for sample in x]),
    ops.Dense: dense,
    ops.Conv: windows.convolution(windows.grouped),
    ops.DepthwiseConv: windows.convolution(windows.depthwise),
    ops.ConvTranspose: windows.conv_transpose,
    ops.Commuting: lambda op, x: COMMUTING[op.name](op, x),
    ops.GlobalPool: global_pool,
    ops.Embedding: embedding,
    ops.Einsum: einsum,
    ops.Recurrence: recurrence,
    ops.Select: select,
    ops.SpaceToDepth: space_to_depth,
    ops.Reshape: lambda op, x: x.reshape(-1, *op.target),
    ops.Squeeze: squeeze,
    ops.ExpandDims: expand_dims,
    ops.Transpose: transpose,
    ops.BatchTranspose: lambda op, x: x.transpose(op.permutation),
    ops.Add: lambda op, x, *more: sum((-y if op.subtracts else y for y in more), x),
    ops.Multiply: lambda _, x, y: x * y,
    ops.Extremum: lambda op, x, y: np.where((x > y) == (op.name == "Maximum"), x, y),
    ops.Concat: concat,
    ops.Stack: lambda op, *inputs: np.stack(inputs, axis=op.axis + 1),
}
