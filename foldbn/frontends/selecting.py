"""Recognize nodes that take positions of their input: slices, tiles, mirrors, resizings."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foldbn import ops
from foldbn.frontends.context import Context, Recognized
from foldbn.frontends.frozen import NodeDef

Indices = tuple[tuple[int, ...] | None, ...]
SPLITS = ("Split", "SplitV", "Unpack")
_MODES = {b"REFLECT": "reflect", b"SYMMETRIC": "symmetric"}


def _strided_slice(node: NodeDef, context: Context) -> Recognized | None:
    """Read ``x[:, begin:end:step, ...]``, the batch axis left whole."""
    numbers = [context.constant(source) for source in node.input[1:4]]
    sample = context.sample(node.input[0])
    if sample is None or any(each is None for each in numbers):
        return None
    slices = _slices(node, [np.atleast_1d(np.asarray(each)) for each in numbers], len(sample) + 1)
    if slices is None or slices[0] != slice(None):
        return None
    dropped = tuple(axis for axis, each in enumerate(slices[1:]) if isinstance(each, int))
    indices = [_positions(each, n) for each, n in zip(slices[1:], sample, strict=True)]
    if any(each == () for each in indices):
        return None
    return ops.Select("a slice", tuple(indices), sample, dropped), context.data(node)


def _slices(node: NodeDef, numbers: list[NDArray[Any]], rank: int) -> list[slice | int] | None:
    """Return what is taken along each axis, or None for a form that nobody writes."""
    if node.attr["new_axis_mask"].i:
        return None

    def masked(name: str, place: int) -> bool:
        return bool(node.attr[f"{name}_mask"].i >> place & 1)

    slices: list[slice | int] = []
    for place, (begin, end, step) in enumerate(zip(*numbers, strict=True)):
        if masked("ellipsis", place):
            slices += [slice(None)] * (rank - len(numbers[0]) + 1)
        elif masked("shrink_axis", place):
            slices.append(int(begin))
        else:
            first = None if masked("begin", place) or (begin == 0 and step == 1) else int(begin)
            last = None if masked("end", place) else int(end)
            slices.append(slice(first, last, None if step == 1 else int(step)))
    return slices + [slice(None)] * (rank - len(slices))


def _positions(taken: slice | int, length: int | None) -> tuple[int, ...] | None:
    """Return the positions taken of an axis: None for all, nothing where that is not known."""
    if taken == slice(None):
        return None
    if length is None:
        return ()
    if isinstance(taken, int):
        return (taken % length,)
    return tuple(range(length)[taken])


def _slice(node: NodeDef, context: Context) -> Recognized | None:
    begins, sizes = (context.constant(source) for source in node.input[1:3])
    sample = context.sample(node.input[0])
    if begins is None or sizes is None or sample is None or begins[0] or sizes[0] != -1:
        return None
    indices = [
        _positions(slice(int(b) or None, None if s == -1 else int(b + s)), n)
        for b, s, n in zip(begins[1:], sizes[1:], sample, strict=True)
    ]
    if any(each == () for each in indices):
        return None
    return ops.Select("a slice", tuple(indices), sample), context.data(node)


def _tile(node: NodeDef, context: Context) -> Recognized | None:
    times = context.constant(node.input[1])
    if times is None or times[:1].tolist() != [1]:
        return None
    repeats = {axis: partial(np.tile, reps=n) for axis, n in enumerate(times[1:]) if n != 1}
    return _rearranged(node, context, "tiling", repeats)


def _reverse(node: NodeDef, context: Context) -> Recognized | None:
    axes, sample = context.constant(node.input[1]), context.sample(node.input[0])
    if axes is None or sample is None:
        return None
    places = {int(axis) % (len(sample) + 1) - 1 for axis in np.atleast_1d(axes)}
    # A map is the same along the batch axis, whichever way around that is.
    return _rearranged(node, context, "reversing", dict.fromkeys(places - {-1}, np.flip))


def _roll(node: NodeDef, context: Context) -> Recognized | None:
    shifts, axes = (context.constant(source) for source in node.input[1:3])
    sample = context.sample(node.input[0])
    if shifts is None or axes is None or sample is None:
        return None
    pairs = zip(np.atleast_1d(axes), np.atleast_1d(shifts), strict=True)
    rolls = {int(a) % (len(sample) + 1) - 1: partial(np.roll, shift=int(n)) for a, n in pairs}
    if len(rolls) < np.size(axes):
        return None
    return _rearranged(node, context, "rolling", rolls)


def _mirror(node: NodeDef, context: Context) -> Recognized | None:
    pads = context.constant(node.input[1])
    if pads is None or pads[:1].any():
        return None
    mode = _MODES[node.attr["mode"].s]
    mirrors = {
        axis: partial(np.pad, pad_width=tuple(pair), mode=mode)
        for axis, pair in enumerate(pads[1:].tolist())
        if any(pair)
    }
    return _rearranged(node, context, "mirror padding", mirrors)


def _rearranged(
    node: NodeDef, context: Context, name: str, changes: Mapping[int, Callable[..., Any]]
) -> Recognized | None:
    """Return a Select of what `changes` make of the positions 0, 1, ... along their axes."""
    sample = context.sample(node.input[0])
    if sample is None or -1 in changes or any(sample[axis] is None for axis in changes):
        return None
    indices: list[tuple[int, ...] | None] = [None] * len(sample)
    for axis, change in changes.items():
        indices[axis] = tuple(change(np.arange(sample[axis] or 0)).tolist())
    return ops.Select(name, tuple(indices), sample), context.data(node)


def _resize(node: NodeDef, context: Context) -> Recognized:
    name = "bilinear resizing" if node.op == "ResizeBilinear" else "nearest-neighbor resizing"
    (source,) = context.data(node)[:1]
    before, after = ((context.sample(each) or ())[:2] for each in (source, node.name))
    known = [n for n in (*before, *after) if n is not None]
    growth = math.prod(known[2:]) / math.prod(known[:2]) if len(known) == 2 * 2 else None
    return ops.resize((0, 1), name, growth), (source,)


def _space_to_depth(node: NodeDef, context: Context) -> Recognized | None:
    if node.attr["data_format"].s != b"NHWC":
        return None
    inverse = node.op == "DepthToSpace"
    return ops.SpaceToDepth(node.attr["block_size"].i, inverse), context.data(node)


def split(node: NodeDef, context: Context) -> list[tuple[str, ops.Select]] | None:
    """Read Split, SplitV and Unpack as one slice for each of their outputs, with its name.

    The tensor that is split is the one input that is no constant.
    """
    data = context.data(node)
    axis = _split_axis(node, context)
    sample = context.sample(data[0]) if len(data) == 1 else None
    if sample is None or axis is None:
        return None
    place = axis % (len(sample) + 1) - 1
    length = None if place < 0 else sample[place]
    if length is None:
        return None
    sizes = _split_sizes(node, context, length)
    if sizes is None or (sizes < 0).any():
        return None
    ends = np.cumsum(sizes).tolist()
    dropped = (place,) if node.op == "Unpack" else ()
    outputs = []
    for number, (begin, end) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
        indices: list[tuple[int, ...] | None] = [None] * len(sample)
        indices[place] = tuple(range(begin, end))
        name = f"{node.name}:{number}" if number else str(node.name)
        outputs.append((name, ops.Select("a split", tuple(indices), sample, dropped)))
    return outputs


def _split_axis(node: NodeDef, context: Context) -> int | None:
    if node.op == "Unpack":
        return int(node.attr["axis"].i)
    axis = context.constant(node.input[0 if node.op == "Split" else 2])
    return None if axis is None else int(axis.item())


def _split_sizes(node: NodeDef, context: Context, length: int) -> NDArray[Any] | None:
    if node.op == "SplitV":
        return context.constant(node.input[1])
    count = int(node.attr["num" if node.op == "Unpack" else "num_split"].i)
    return np.full(count, length // count)


SELECTING: dict[str, Callable[[NodeDef, Context], Recognized | None]] = {
    "StridedSlice": _strided_slice,
    "Slice": _slice,
    "Tile": _tile,
    "ReverseV2": _reverse,
    "Roll": _roll,
    "MirrorPad": _mirror,
    **dict.fromkeys(("ResizeBilinear", "ResizeNearestNeighbor"), _resize),
    **dict.fromkeys(("SpaceToDepth", "DepthToSpace"), _space_to_depth),
}
