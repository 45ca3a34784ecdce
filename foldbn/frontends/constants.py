"""Replace constant subgraphs by their values, computed in float64 by TensorFlow's own kernels."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from foldbn.frontends.conditionals import LOOPS, MERGES, SWITCHES
from foldbn.frontends.frozen import (
    FrozenModel,
    GraphDef,
    NodeDef,
    empty_like,
    node_of,
    prune,
    store,
    tensor_name,
)
from foldbn.frontends.precision import GraphRunner, widen

_HANDLES = (20, 21)  # DT_RESOURCE and DT_VARIANT: lists of tensors and the like
_FLOW = (*SWITCHES, *MERGES, *LOOPS)  # what follows is inside a loop, or dead
_SAME_VALUE = ("Identity", "StopGradient", "PreventGradient", "Snapshot")


def fold_constants(model: FrozenModel) -> FrozenModel:
    """Return `model` with each constant subgraph as one constant.

    Constants get their float64 value in `values`, so that nothing is rounded between a
    variable and what is folded from it. Each keeps the layer whose variables it is made of.
    """
    constant = _constant_nodes(model.graph_def) - {port.node for port in model.outputs}
    origins = _origins(model, constant)
    nodes = {node.name: node for node in model.graph_def.node}
    renamed = {tensor: _stored_in(tensor, nodes) for tensor in _frontier(model, constant)}
    computed = [tensor for tensor, name in renamed.items() if name not in nodes]
    found = _evaluate(model, computed)
    stored = {renamed[tensor]: pair for tensor, pair in zip(computed, found, strict=True)}
    graph_def, known = _substitute(model, constant, renamed, stored)
    variables = dict(model.layers.variables)
    for tensor, name in renamed.items():
        if node_of(tensor) in origins:
            variables[name] = origins[node_of(tensor)]
    layers = replace(model.layers, variables=variables)
    keep = tuple(port.node for port in model.outputs)
    pruned = prune(graph_def, keep)
    return replace(model, graph_def=pruned, layers=layers, values=known)


def _stored_in(tensor: str, nodes: dict[str, NodeDef]) -> str:
    """Return the Const that holds a constant tensor, or a free name for one to be made."""
    node = nodes[node_of(tensor)]
    while node.op in _SAME_VALUE:
        node = nodes[node_of(node.input[0])]
    if node.op == "Const":
        return str(node.name)
    return tensor.replace(":", "/output_") + ("/folded" if ":" not in tensor else "")


def _constant_nodes(graph_def: GraphDef) -> set[str]:
    """Return the nodes that depend on nothing but constants; the graph is in order."""
    from tensorflow.python.framework import op_def_registry

    constant: set[str] = set()
    for node in graph_def.node:
        definition = op_def_registry.get(node.op)
        fed = node.input or node.op == "Const"
        if definition is None or definition.is_stateful or not fed or node.op in _FLOW:
            continue
        numbers = all(each.type not in _HANDLES for each in definition.output_arg)
        if numbers and all(node_of(source) in constant for source in node.input):
            constant.add(node.name)
    return constant


def _frontier(model: FrozenModel, constant: set[str]) -> list[str]:
    """Return the constant tensors that other nodes read."""
    read = [
        tensor_name(source)
        for node in model.graph_def.node
        if node.name not in constant
        for source in node.input
    ]
    return [tensor for tensor in dict.fromkeys(read) if node_of(tensor) in constant]


def _origins(model: FrozenModel, constant: set[str]) -> dict[str, str]:
    """Return the layer of each constant node all of whose variables belong to one layer."""
    owners: dict[str, frozenset[str]] = {}
    for node in model.graph_def.node:
        if node.name in constant:
            own = model.layers.variables.get(node.name)
            below = (owners[node_of(source)] for source in node.input)
            owners[node.name] = frozenset([own] if own else []).union(*below)
    return {name: next(iter(layers)) for name, layers in owners.items() if len(layers) == 1}


def _evaluate(model: FrozenModel, tensors: list[str]) -> list[tuple[NDArray[Any], str]]:
    """Return the values of constant tensors, computed in float64, and their own types."""
    if not tensors:
        return []
    roots = tuple(dict.fromkeys(node_of(tensor) for tensor in tensors))
    part = replace(model, graph_def=prune(model.graph_def, roots), inputs=(), outputs=())
    own = GraphRunner(part)
    exact = GraphRunner(widen(part)).run(tensors, {})
    return [(value, own.dtype_of(t)) for t, value in zip(tensors, exact, strict=True)]


def _substitute(
    model: FrozenModel,
    constant: set[str],
    renamed: dict[str, str],
    stored: dict[str, tuple[NDArray[Any], str]],
) -> tuple[GraphDef, dict[str, NDArray[Any]]]:
    """Return the graph with a Const for each of `stored`, and what its nodes do not hold."""
    result, values = empty_like(model.graph_def), dict(model.values)
    for name, (value, dtype) in stored.items():
        store(result, values, name, value, dtype)
    for node in model.graph_def.node:
        if node.name in constant and node.op != "Const":
            continue
        copy = result.node.add()
        copy.CopyFrom(node)
        for index, source in enumerate(copy.input):
            copy.input[index] = renamed.get(tensor_name(source), source)
    return result, values
