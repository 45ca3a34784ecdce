"""Join the nodes that TensorFlow makes of one-dimensional layers and of dilated convolutions.

    Conv1D     ExpandDims -> Conv2D -> Squeeze
    pooling    ExpandDims -> AvgPool or MaxPool -> Squeeze
    dilated    SpaceToBatchND -> convolution -> BatchToSpaceND

Exporters know both forms again, so long as nothing comes between their nodes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np

from foldbn import ops
from foldbn.affine import Array
from foldbn.frontends.context import Context
from foldbn.frontends.groups import Group, sole_readers, without
from foldbn.frontends.margins import always_equal

_POOLS = ("AvgPool", "MaxPool")


def join_windows(groups: list[Group], context: Context) -> list[Group]:
    """Return `groups` with each Conv1D, pooling and then each dilated convolution as one op."""
    for recognize in (_one_dimensional, _pooling, _dilated):
        groups = _join(groups, context, recognize)
    return groups


def _join(groups: list[Group], context: Context, recognize: Any) -> list[Group]:
    sole = sole_readers(groups)
    joined: list[Group] = []
    for group in groups:
        middle = sole.get(group.outputs[0])
        last = None if middle is None else sole.get(middle.outputs[0])
        if middle is None or last is None:
            continue
        whole = recognize(group, middle, last, context)
        if whole is not None:
            group.extend(middle, whole)
            group.extend(last, whole)
            joined += [middle, last]
    return without(groups, joined)


def _one_dimensional(first: Group, middle: Group, last: Group, _: Context) -> ops.Conv | None:
    """Return a convolution between ExpandDims and Squeeze of one axis, without that axis."""
    conv = middle.op
    if not isinstance(conv, ops.Conv) or not isinstance(first.op, ops.ExpandDims):
        return None
    if first.op.axes not in [(axis,) for axis in conv.spatial_axes]:
        return None
    place = conv.spatial_axes.index(first.op.axes[0])
    if last.op != ops.Squeeze(first.op.axes) or conv.window[place] != 1:
        return None

    def rest(values: tuple[Any, ...]) -> tuple[Any, ...]:
        return values[:place] + values[place + 1 :]

    return replace(
        conv,
        kernel=conv.kernel.squeeze(place),
        strides=rest(conv.strides),
        dilations=rest(conv.dilations),
        padding=conv.padding if isinstance(conv.padding, str) else rest(conv.padding),
        input_size=rest(conv.input_size),
    )


def _pooling(first: Group, middle: Group, last: Group, _: Context) -> ops.Commuting | None:
    """Return a pooling between ExpandDims and Squeeze of an axis that it leaves alone."""
    pool, expand = middle.op, first.op
    if not isinstance(pool, ops.Commuting) or middle.kind not in _POOLS:
        return None
    if not isinstance(expand, ops.ExpandDims) or last.op != ops.Squeeze(expand.axes):
        return None
    if len(expand.axes) > 1 or expand.axes[0] in pool.uniform_axes:
        return None
    axes = tuple(axis - (axis > expand.axes[0]) for axis in pool.uniform_axes)
    return replace(pool, uniform_axes=axes)


def _dilated(first: Group, middle: Group, last: Group, context: Context) -> ops.Conv | None:
    """Return a convolution on the grids of SpaceToBatch as one dilated convolution.

    What is padded only to fill the last grid is cropped again at the end. Where lengths are open
    the margins are computed: unless all of them is cropped, how much is padding is not known.
    """
    conv, on_grids = middle.op, (first.kind, last.kind) == ("SpaceToBatchND", "BatchToSpaceND")
    if not isinstance(conv, ops.Conv) or isinstance(conv, ops.ConvTranspose) or not on_grids:
        return None
    block, pads = (context.constant(source) for source in first.nodes[0].input[1:3])
    same, crops = (context.constant(source) for source in last.nodes[0].input[1:3])
    sample = context.sample(first.inputs[0])
    plain = conv.padding == "valid" and {*conv.strides, *conv.dilations} == {1}
    if block is None or same is None or sample is None or not plain:
        return None
    if pads is None or crops is None:
        margins = (group.nodes[0].input[2] for group in (first, last))
        all_cut = always_equal(context, *margins)
        return _of_open_lengths(conv, block, same, "valid" if all_cut else "same")
    if conv.channels_first:
        if block[0] != 1 or pads[0].any() or crops[0].any():
            return None
        block, pads, same, crops = block[1:], pads[1:], same[1:], crops[1:]
        sample = sample[1:]
    net = np.stack([pads[:, 0], pads[:, 1] - crops[:, 1]], axis=1)
    fits = len(block) == len(conv.window) and (block == same).all() and not crops[:, 0].any()
    if not fits or (net < 0).any():
        return None
    return replace(
        conv,
        dilations=tuple(block.tolist()),
        padding=tuple(map(tuple, net.tolist())) if net.any() else "valid",
        input_size=sample[: len(block)],
    )


def _of_open_lengths(
    conv: ops.Conv, block: Array, same: Array, padding: Literal["valid", "same"]
) -> ops.Conv | None:
    """Return a dilated convolution of any lengths; of "same" nobody knows how much it pads.

    Blocks count from the first axis after the batch; at the end, those of 1 may be missing.
    """
    rank = len(conv.window)
    if conv.channels_first or len(block) > rank or not np.array_equal(block, same):
        return None
    dilations = (*block.tolist(), *[1] * (rank - len(block)))
    return replace(conv, dilations=dilations, padding=padding, input_size=(None,) * rank)
