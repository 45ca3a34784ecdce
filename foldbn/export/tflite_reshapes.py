"""Tell TFLite's converter the lengths that an image keeps in a reshape to open lengths.

It infers nothing from a target that is joined of parts, as UpSampling2D of any size writes it, and
takes no convolution whose channels it does not know. What it reads is a target packed of numbers:

    Reshape(x, target)   becomes   Reshape(x, [target[0], target[1], target[2], channels])
"""

from __future__ import annotations

from dataclasses import replace

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

_IMAGE_RANK = 4
_INT32 = 3  # DT_INT32


def with_known_lengths(model: FrozenModel) -> FrozenModel:
    """Return `model` with the target of each such reshape as one number for each length."""
    kinds = {node.name: node.op for node in model.graph_def.node}
    joined = [
        node
        for node in model.graph_def.node
        if node.op == "Reshape" and kinds[node_of(node.input[1])] == "ConcatV2"
    ]
    if not joined:
        return model
    runner, result = GraphRunner(model), empty_like(model.graph_def)
    shapes = {node.name: runner.shape_of(tensor_name(node.name)) or () for node in joined}
    for node in model.graph_def.node:
        copy = result.node.add()
        copy.CopyFrom(node)
        shape = shapes.get(node.name, ())
        if len(shape) >= _IMAGE_RANK and any(shape) and node.attr["Tshape"].type == _INT32:
            copy.input[1] = _packed(result, node, shape)
    return replace(model, graph_def=result)


def _packed(graph_def: GraphDef, node: NodeDef, shape: tuple[int | None, ...]) -> str:
    """Add the target of a reshape as one number for each length, and return its name."""
    lengths = []
    for axis, length in enumerate(shape):
        name = f"{node.name}/length_{axis}"
        if length is not None:
            add_constant(graph_def, name, np.array(length, np.int32))
        else:
            bounds = [
                add_constant(graph_def, f"{name}/{part}", np.array([value], np.int32)).name
                for part, value in (("begin", axis), ("end", axis + 1), ("step", 1))
            ]
            one = graph_def.node.add(name=name, op="StridedSlice", input=[node.input[1], *bounds])
            one.attr["T"].type = one.attr["Index"].type = _INT32
            one.attr["shrink_axis_mask"].i = 1
        lengths.append(name)
    packed = graph_def.node.add(name=f"{node.name}/lengths", op="Pack", input=lengths)
    packed.attr["T"].type, packed.attr["N"].i = _INT32, len(lengths)
    return str(packed.name)
