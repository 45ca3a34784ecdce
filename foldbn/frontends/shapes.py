"""Find the shape of every tensor, and write the reshapes of known shape as constants.

TensorFlow infers most shapes. Where a shape is computed from the batch size by a chain of
ops (the Dense of rank 3 and higher), inference gives up: there the graph is run once on
two and once on three samples, and what stays the same is the shape.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from foldbn.frontends.frozen import (
    FrozenModel,
    NodeDef,
    Port,
    add_constant,
    empty_like,
    node_of,
    prune,
    tensor_name,
)
from foldbn.frontends.pivots import nodes_in_branches
from foldbn.frontends.precision import GraphRunner

Shape = tuple[int | None, ...]


def find_shapes(model: FrozenModel) -> dict[str, Shape | None]:
    """Return the shape of every tensor, batch axis first; None where the rank is unknown."""
    runner = GraphRunner(model)
    shapes: dict[str, Shape | None] = {}
    for operation in runner.graph.get_operations():
        for tensor in operation.outputs:
            name = tensor_name(tensor.name)
            shapes[name] = runner.shape_of(name)
    shapes.update(_demanded(model, shapes))
    hidden = nodes_in_branches(model.graph_def)
    batched = all(port.shape and None not in port.shape[1:] for port in model.inputs)
    vague = [
        tensor_name(node.name)
        for node in model.graph_def.node
        if node.name not in hidden
        and ((shape := shapes.get(node.name)) is None or None in shape[1:])
    ]
    if vague and batched:
        shapes.update(_observe(runner, model.inputs, vague))
    return shapes


def _demanded(model: FrozenModel, shapes: dict[str, Shape | None]) -> dict[str, Shape]:
    """Return the shapes of what is multiplied with a constant kernel: its last length is known.

    TensorFlow infers from inputs alone, and not what a product demands of its input.
    """
    constants = {node.name for node in model.graph_def.node if node.op == "Const"}
    found: dict[str, Shape] = {}
    for node in model.graph_def.node:
        if node.op != "MatMul" or node.attr["transpose_a"].b:
            continue
        source, kernel = map(tensor_name, node.input)
        shape, sizes = shapes.get(source), shapes.get(kernel)
        if kernel in constants and shape is not None and sizes is not None:
            found[source] = (*shape[:-1], sizes[int(node.attr["transpose_b"].b)])
    return found


def _observe(runner: GraphRunner, inputs: tuple[Port, ...], tensors: list[str]) -> dict[str, Shape]:
    """Return the shapes that `tensors` have on two and on three samples, where they agree."""
    import tensorflow as tf

    with runner.graph.as_default():
        probes = [
            tf.shape(runner.graph.get_tensor_by_name(f"{tensor}:0")).name for tensor in tensors
        ]
    seen = []
    for batch in (2, 3):
        feed = {port.node: port.zeros(batch) for port in inputs}
        try:
            seen.append(runner.run(probes, feed))
        except tf.errors.OpError:
            return {}
    return {
        tensor: _common(two, three)
        for tensor, two, three in zip(tensors, *seen, strict=True)
        if len(two) == len(three)
    }


def _common(two: Any, three: Any) -> Shape:
    return tuple(int(a) if a == b else None for a, b in zip(two, three, strict=True))


def settle_reshapes(model: FrozenModel, shapes: dict[str, Shape | None]) -> FrozenModel:
    """Return `model` with a constant target for each Reshape of which all but one length is known.

    What computed the target from the batch size goes with it, and so do transpositions that
    change nothing, and identities inside: between a grouped convolution and its bias, say.
    """
    keep = tuple(port.node for port in model.outputs)
    nodes = {node.name: node for node in model.graph_def.node}
    graph_def = empty_like(model.graph_def)
    passed: dict[str, str] = {}
    for node in model.graph_def.node:
        if node.name not in keep and _does_nothing(node, nodes):
            source = tensor_name(node.input[0])
            passed[node.name] = passed.get(source, source)
            continue
        copy = graph_def.node.add()
        copy.CopyFrom(node)
        for index, source in enumerate(copy.input):
            copy.input[index] = passed.get(tensor_name(source), source)
        target = shapes.get(node.name) if node.op == "Reshape" else None
        if target and target.count(None) <= 1 and 0 not in target:
            name = f"{node.name}/known_shape"
            lengths = [-1 if length is None else length for length in target]
            add_constant(graph_def, name, np.asarray(lengths, np.int32))
            copy.input[1] = name
            copy.attr["Tshape"].type = 3  # DT_INT32
    return replace(model, graph_def=prune(graph_def, keep))


def _does_nothing(node: NodeDef, nodes: dict[str, NodeDef]) -> bool:
    if node.op != "Transpose":
        return bool(node.op == "Identity")
    permutation = nodes[node_of(node.input[1])]
    if permutation.op != "Const":
        return False
    from tensorflow.python.framework import tensor_util

    order = tensor_util.MakeNdarray(permutation.attr["value"].tensor)
    return bool((order == np.arange(order.size)).all())
