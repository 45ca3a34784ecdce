"""Rewrite a graph of any floating-point precision to compute in float32.

foldbn exports float32 whatever the model was trained in. It is finer than float16 and
bfloat16, and what the kernels of the runtimes are made for; of float64 numbers the graph's
exact values are kept beside it, so that nothing is rounded before the algebra is checked.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foldbn.errors import BadWeights
from foldbn.frontends.frozen import (
    FrozenModel,
    GraphDef,
    NodeDef,
    empty_like,
    numpy_type,
    store,
    tensor_name,
)
from foldbn.frontends.library import library_in_float32
from foldbn.frontends.precisions import cast_weight
from foldbn.frontends.retyping import (
    DT_FLOAT,
    NAMES,
    TO_SINGLE,
    casts_floats,
    in_range,
    nodes_of,
    retype_node,
)


def with_rounded_weights(model: FrozenModel) -> FrozenModel:
    """Return a mixed model with its weights in the half precision that they are cast to.

    They are what the model computes with, and what another tool may have written.
    """
    from tensorflow.python.framework import tensor_util

    graph_def, values = empty_like(model.graph_def), dict(model.values)
    nodes = {node.name: node for node in model.graph_def.node}
    for node in model.graph_def.node:
        weight = cast_weight(node, nodes)
        if weight is None:
            graph_def.node.append(node)
            continue
        value = model.values.get(weight.name)
        if value is None:
            value = tensor_util.MakeNdarray(weight.attr["value"].tensor)
        store(graph_def, values, node.name, value.astype(numpy_type(node.attr["DstT"].type)))
    return replace(model, graph_def=graph_def, values=values)


def in_float32(model: FrozenModel) -> FrozenModel:
    """Return `model` computing in float32 wherever it computed in another precision.

    Casts between floating-point types go, and ports of such types become float32. A model of
    float32 alone is returned as it is.

    Raises:
        BadWeights: a weight is greater than float32 can hold.
        Unsupported: a loop or branch of the graph looks at the bits of such numbers.
    """
    if not _has_others(model):
        return model
    graph_def, values = empty_like(model.graph_def), dict(model.values)
    ports = {port.node for port in model.outputs}
    passed: dict[str, str] = {}
    for node in model.graph_def.node:
        if node.op == "Const" and node.attr["dtype"].type in TO_SINGLE:
            _store(graph_def, values, node, model)
            continue
        copy = type(node)()
        copy.CopyFrom(node)
        for index, source in enumerate(copy.input):
            copy.input[index] = passed.get(tensor_name(source), source)
        if casts_floats(node) and node.name not in ports:
            passed[node.name] = copy.input[0]
        elif node.op == "Bitcast":
            _write_bitcast(graph_def, copy)
        else:
            retype_node(copy, TO_SINGLE)
            graph_def.node.append(copy)
    library_in_float32(graph_def)
    inputs, outputs = (
        tuple(replace(p, dtype="float32") if p.dtype in NAMES.values() else p for p in each)
        for each in (model.inputs, model.outputs)
    )
    return replace(model, graph_def=graph_def, inputs=inputs, outputs=outputs, values=values)


def _has_others(model: FrozenModel) -> bool:
    return any(
        kind in TO_SINGLE
        for node in nodes_of(model)
        for value in node.attr.values()
        for kind in (value.type, *value.list.type)
    )


def _store(
    graph_def: GraphDef, values: dict[str, NDArray[Any]], node: NodeDef, model: FrozenModel
) -> None:
    """Add a constant in float32, and what float32 does not hold of it to `values`."""
    from tensorflow.python.framework import tensor_util

    value = values.pop(node.name, None)
    if value is None:
        value = tensor_util.MakeNdarray(node.attr["value"].tensor)
    if value.dtype != np.float64:
        value = value.astype(np.float32)
    fitting = in_range(value, DT_FLOAT)
    layer = model.layers.variables.get(node.name)
    if layer is not None and fitting is not value:
        greatest = np.abs(value[np.isfinite(value)]).max()
        raise BadWeights(
            f"layer {layer!r}: a weight is as large as {greatest:.3g}, more than float32 holds",
            "foldbn exports float32: scale the layer, or retrain it in float32",
        )
    store(graph_def, values, node.name, fitting, np.float32)


def _write_bitcast(graph_def: GraphDef, node: NodeDef) -> None:
    """Add a Bitcast that reads and gives the types whose bits it is about."""
    name, (read, given) = node.name, (node.attr["T"].type, node.attr["type"].type)
    if read in TO_SINGLE:
        node.input[0] = _add_cast(graph_def, f"{name}/read", node.input[0], DT_FLOAT, read)
    if given in TO_SINGLE:
        node.name = f"{name}/bits"
    graph_def.node.append(node)
    if given in TO_SINGLE:
        _add_cast(graph_def, name, node.name, given, DT_FLOAT)


def _add_cast(graph_def: GraphDef, name: str, source: str, before: int, after: int) -> str:
    cast = graph_def.node.add(name=name, op="Cast", input=[source])
    cast.attr["SrcT"].type, cast.attr["DstT"].type = before, after
    return name
