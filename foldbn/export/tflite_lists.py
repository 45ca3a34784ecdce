"""Give the lists of tensors in recurrent layers the shapes that TFLite's converter asks for.

A recurrent layer reads its steps from one list and writes its results to another. Both declare
the shape of their elements with an open batch axis, even where the model's own is fixed.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from foldbn.frontends.frozen import FrozenModel, GraphDef, add_constant, empty_like, node_of

# Where each kind of node has the shape of its elements.
_SHAPES = {"TensorListReserve": 0, "TensorListFromTensor": 1, "TensorListStack": 1}


def settle_lists(model: FrozenModel, batch_size: int) -> FrozenModel:
    """Return `model` with `batch_size` for an open leading axis of elements of lists."""
    if not any(node.op in _SHAPES for node in model.graph_def.node):
        return model
    graph_def = empty_like(model.graph_def)
    _settle(model.graph_def, graph_def, batch_size)
    return replace(model, graph_def=graph_def)


def _settle(source: GraphDef, target: GraphDef, batch_size: int) -> None:
    from tensorflow.python.framework import tensor_util

    constants = {node.name: node for node in source.node if node.op == "Const"}
    for node in source.node:
        copy = target.node.add()
        copy.CopyFrom(node)
        place = _SHAPES.get(node.op)
        declared = None if place is None else constants.get(node_of(node.input[place]))
        if place is None or declared is None:
            continue
        shape = np.array(tensor_util.MakeNdarray(declared.attr["value"].tensor))
        if shape.ndim == 1 and shape.size and shape[0] == -1:
            shape[0] = batch_size
            copy.input[place] = add_constant(target, f"{node.name}/settled_shape", shape).name
