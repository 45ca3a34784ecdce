"""Write dilated convolutions of images of open lengths as such, where TensorFlow has grids.

TensorFlow computes on grids of pixels, which it moves to the batch; how they are padded and cut is
computed from the lengths. tf2onnx takes the padding for "valid" where the first axis has none, and
computes other numbers for volumes. With what `pad` adds and `cut` takes away as they are,

    cut(BatchToSpaceND(conv(SpaceToBatchND(x, blocks, pad)), blocks))
        becomes   cut(dilated_conv(Pad(x, pad), dilations = blocks))

which holds whatever they are: pixel i of a grid is pixel i * block + offset of the image. What cuts
away all that was padded is "valid" along every axis, and tf2onnx makes one op of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from foldbn.errors import Unsupported
from foldbn.frontends.frozen import (
    FrozenModel,
    NodeDef,
    empty_like,
    node_of,
    numpy_type,
    readers_of,
    tensor_name,
)
from foldbn.frontends.positions import sample_of
from foldbn.frontends.precision import GraphRunner
from foldbn.frontends.written_out import insert

_RANKS = {"Conv2D": 4, "DepthwiseConv2dNative": 4, "Conv3D": 5}


Grid = tuple[NodeDef, NodeDef, NodeDef, list[int]]  # pixels to the batch, convolved, back; blocks


def with_dilations(model: FrozenModel) -> FrozenModel:
    """Return a float32 model, its channels last, without grids whose margins are computed."""
    grids = _grids(model)
    valid = _valid(model, grids)
    found = [grid for grid in grids if grid[0].name not in valid]
    if not found:
        return model
    parts = {
        node.name: (part, blocks)
        for *nodes, blocks in found
        for part, node in zip((_pad, None, _cut), nodes, strict=True)
    }
    graph_def = empty_like(model.graph_def)
    for node in model.graph_def.node:
        part, blocks = parts.get(node.name, (None, []))
        if part is not None:
            rank = len(blocks) + 2
            insert(graph_def, node, part(rank), _kinds(node), [None] * rank)
            continue
        copy = graph_def.node.add()
        copy.CopyFrom(node)
        if blocks:
            copy.attr["dilations"].list.i[:] = [1, *blocks, 1]
    return replace(model, graph_def=graph_def)


def _grids(model: FrozenModel) -> list[Grid]:
    """Return the grids of images and volumes whose margins are computed."""
    nodes = {node.name: node for node in model.graph_def.node}
    readers = readers_of(model.graph_def)
    found: list[Grid] = []
    for back in model.graph_def.node:
        conv = nodes[node_of(back.input[0])] if back.op == "BatchToSpaceND" else None
        if conv is None or conv.op not in _RANKS or not _is_plain(conv):
            continue
        there = nodes[node_of(conv.input[0])]
        alone = all(len(readers[each.name]) == 1 for each in (there, conv))
        if there.op != "SpaceToBatchND" or not alone:
            continue
        blocks, others = (_numbers(nodes[node_of(each.input[1])]) for each in (there, back))
        if blocks and blocks == others and _numbers(nodes[node_of(there.input[2])]) is None:
            missing = _RANKS[conv.op] - 2 - len(blocks)
            found.append((there, conv, back, [*blocks, *[1] * missing]))
    return found


def _valid(model: FrozenModel, grids: Sequence[Grid]) -> set[str]:
    """Return which nodes move pixels to the batch that are all cut away again, on any lengths."""
    margins = [tensor_name(node.input[2]) for there, _, back, _ in grids for node in (there, back)]
    batch = model.batch_size or 1
    feed = {each.node: np.zeros((batch, *sample_of(each)), each.dtype) for each in model.inputs}
    try:
        values = GraphRunner(model).run(margins, feed) if grids else []
    except Unsupported:  # lengths that the model does not take
        return set()
    pairs = zip(grids, values[::2], values[1::2], strict=True)
    return {grid[0].name for grid, added, cut in pairs if np.array_equal(added, cut)}


def _kinds(node: NodeDef) -> tuple[Any, ...]:
    """Return the types of what moves pixels, of its blocks and of its margins."""
    margins = "Tpaddings" if node.op == "SpaceToBatchND" else "Tcrops"
    return tuple(numpy_type(node.attr[name].type) for name in ("T", "Tblock_shape", margins))


def _is_plain(conv: NodeDef) -> bool:
    """Whether a convolution leaves no place out and adds none, its channels last."""
    steps = {*conv.attr["strides"].list.i, *conv.attr["dilations"].list.i}
    last = conv.attr["data_format"].s in (b"", b"NHWC", b"NDHWC")
    return steps <= {1} and conv.attr["padding"].s == b"VALID" and last


def _numbers(node: NodeDef) -> list[int] | None:
    from tensorflow.python.framework import tensor_util

    if node.op != "Const":
        return None
    return [int(each) for each in tensor_util.MakeNdarray(node.attr["value"].tensor).ravel()]


def _pad(rank: int) -> Any:
    def body(tf: Any, x: Any, _blocks: Any, margins: Any) -> Any:
        return tf.pad(x, _of_all_axes(tf, margins, rank))

    return body


def _cut(rank: int) -> Any:
    def body(tf: Any, x: Any, _blocks: Any, margins: Any) -> Any:
        around = _of_all_axes(tf, margins, rank)
        return tf.slice(x, around[:, 0], tf.shape(x) - around[:, 0] - around[:, 1])

    return body


def _of_all_axes(tf: Any, margins: Any, rank: int) -> Any:
    """Return margins of the batch, the axes that have some, and the others ``[rank, 2]``."""
    margins = tf.reshape(tf.cast(margins, tf.int32), [-1, 2])
    around = tf.pad(margins, [[1, rank - 1 - tf.shape(margins)[0]], [0, 0]])
    return tf.reshape(around, [rank, 2])
