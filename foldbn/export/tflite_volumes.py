"""What TFLite has of images but not of volumes, in ops of images.

A dilated convolution is done on grids of pixels, which move to the batch axis:

    SpaceToBatchND(x[N, D, H, W, C], blocks [d, h, w])
        becomes   SpaceToBatchND(x[N, D * H, W, C], [1, w]) -> [w * N, D, H, W / w * C]
                  -> SpaceToBatchND([d, h])

and its inverse the same backward; grids lie in the batch in the order d, h, w. A PReLU is written

    max(x, 0) - alpha * max(-x, 0)   which becomes   max(x, 0) - alpha * -min(x, 0)

for of the former the converter makes one op, that takes images only.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from foldbn.frontends.frozen import (
    FrozenModel,
    GraphDef,
    NodeDef,
    add_constant,
    empty_like,
    node_of,
    tensor_name,
)
from foldbn.frontends.precision import GraphRunner
from foldbn.frontends.written_out import insert

_TO_BATCH, _FROM_BATCH = "SpaceToBatchND", "BatchToSpaceND"
_OF_IMAGE, _OF_VOLUME = 4, 5  # ranks
_AXES = 3  # of a volume


def with_ops_of_images(model: FrozenModel) -> FrozenModel:
    """Return `model` with its grids of volumes as grids of images, and its PReLU without the op."""
    nodes = {node.name: node for node in model.graph_def.node}
    found = {
        node.name: node
        for node in model.graph_def.node
        if node.op in (_TO_BATCH, _FROM_BATCH) or _is_negative_part(node, nodes)
    }
    if not found:
        return model
    runner, result = GraphRunner(model), empty_like(model.graph_def)
    shapes = {name: runner.shape_of(tensor_name(n.input[0])) or () for name, n in found.items()}
    for node in model.graph_def.node:
        shape = shapes.get(node.name, ())
        if len(shape) > _OF_IMAGE and node.op == "Relu":
            _write_negative_part(result, node, nodes[node_of(node.input[0])])
        elif len(shape) == _OF_VOLUME and (body := _grid_of(node, nodes)) is not None:
            insert(result, node, body, ("float32", "int32", "int32"), shape)
        else:
            result.node.append(node)
    return replace(model, graph_def=result)


def _is_negative_part(node: NodeDef, nodes: dict[str, NodeDef]) -> bool:
    return bool(node.op == "Relu" and nodes[node_of(node.input[0])].op == "Neg")


def _write_negative_part(graph_def: GraphDef, node: NodeDef, negative: NodeDef) -> None:
    """Write ``max(-x, 0)`` as ``-min(x, 0)``."""
    zero = add_constant(graph_def, f"{node.name}/zero", np.zeros((), np.float32))
    inputs = [negative.input[0], zero.name]
    least = graph_def.node.add(name=f"{node.name}/least", op="Minimum", input=inputs)
    result = graph_def.node.add(name=node.name, op="Neg", input=[least.name])
    for each in (least, result):
        each.attr["T"].CopyFrom(node.attr["T"])


def _grid_of(node: NodeDef, nodes: dict[str, NodeDef]) -> Any:
    """Return what writes a grid along all axes of a volume; None where it has others."""
    blocks, margins = (_stored(nodes[node_of(each)]) for each in node.input[1:3])
    if blocks is None or len(blocks) > _AXES:
        return None
    rest = _AXES - len(blocks)
    blocks = np.pad(blocks, (0, rest), constant_values=1)
    write = _to_batch if node.op == _TO_BATCH else _from_batch

    def body(tf: Any, x: Any, _blocks: Any, computed: Any) -> Any:
        # As numbers they tell of shapes; they are computed where lengths are open.
        known = margins is not None
        around = (np if known else tf).pad(margins if known else computed, ((0, rest), (0, 0)))
        return write(tf, x, blocks, around)

    return body


def _stored(node: NodeDef) -> Any:
    from tensorflow.python.framework import tensor_util

    return tensor_util.MakeNdarray(node.attr["value"].tensor) if node.op == "Const" else None


def _to_batch(tf: Any, x: Any, blocks: Any, margins: Any) -> Any:
    batch, depth, height, width, channels = _lengths(tf, x)
    rows = tf.reshape(x, [batch, depth * height, width, channels])
    rows = tf.space_to_batch(rows, [1, blocks[2]], [[0, 0], margins[2]])
    batch, _, width, _ = _lengths(tf, rows)
    planes = tf.reshape(rows, [batch, depth, height, width * channels])
    planes = tf.space_to_batch(planes, blocks[:2], margins[:2])
    return tf.reshape(planes, [*_lengths(tf, planes)[:3], width, channels])


def _from_batch(tf: Any, x: Any, blocks: Any, margins: Any) -> Any:
    batch, depth, height, width, channels = _lengths(tf, x)
    planes = tf.reshape(x, [batch, depth, height, width * channels])
    planes = tf.batch_to_space(planes, blocks[:2], margins[:2])
    batch, depth, height, _ = _lengths(tf, planes)
    rows = tf.reshape(planes, [batch, depth * height, width, channels])
    rows = tf.batch_to_space(rows, [1, blocks[2]], [[0, 0], margins[2]])
    batch, _, width, _ = _lengths(tf, rows)
    return tf.reshape(rows, [batch, depth, height, width, channels])


def _lengths(tf: Any, x: Any) -> list[Any]:
    """Return the length of each axis: a number where it is known, a tensor elsewhere."""
    return [tf.shape(x)[axis] if n is None else n for axis, n in enumerate(x.shape)]
