"""Put constants in the place of the variables that a concrete function captures."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from foldbn.frontends.frozen import GraphDef, NodeDef, add_constant, empty_like, node_of, store

_RESOURCE = 20  # DT_RESOURCE


def captured_variables(function: Any) -> dict[str, Any]:
    """Return the resource that each captured input of a concrete function stands for.

    The constant that freezing puts in its place has the captured input's name.
    """
    captured = function.captured_inputs
    if not captured:
        return {}
    placeholders = function.inputs[-len(captured) :]
    return {p.op.name: handle for p, handle in zip(placeholders, captured, strict=True)}


def with_constants(
    graph_def: GraphDef, function: Any
) -> tuple[GraphDef, dict[str, NDArray[Any]]] | None:
    """Return `graph_def`, that of `function`, with constants in the place of variables.

    Returns:
        The graph and the values its nodes do not hold; None where a variable is put to
        another use than being read or gathered from.
    """
    captured = captured_variables(function)
    handles = _aliases(graph_def, captured)
    readers = [node for node in graph_def.node if _reads(node, handles)]
    if any(node.op not in ("ReadVariableOp", "ResourceGather", "Identity") for node in readers):
        return None
    known = _values(function, captured)
    if known is None:
        return None
    result = empty_like(graph_def)
    values: dict[str, NDArray[Any]] = {}
    for name, value in known.items():
        store(result, values, name, value)
    for node in graph_def.node:
        if node.name in captured or (node.name in handles and node.op == "Identity"):
            continue
        variable = handles.get(node_of(node.input[0])) if node.input else None
        if variable is None or node.op not in ("ReadVariableOp", "ResourceGather"):
            result.node.append(node)
        elif node.op == "ReadVariableOp":
            read = result.node.add(name=node.name, op="Identity", input=[variable])
            read.attr["T"].CopyFrom(node.attr["dtype"])
        else:
            _gather(result, node, variable)
    return result, values


def _reads(node: NodeDef, handles: dict[str, str]) -> bool:
    return any(node_of(source) in handles for source in node.input if source[0] != "^")


def _aliases(graph_def: GraphDef, captured: dict[str, Any]) -> dict[str, str]:
    """Return the captured input that each node hands on which holds a variable's handle."""
    resources = {
        node.name
        for node in graph_def.node
        if node.name in captured and node.attr["dtype"].type == _RESOURCE
    }
    handles = {name: name for name in resources}
    for _ in range(len(graph_def.node)):
        more = {
            node.name: handles[node_of(node.input[0])]
            for node in graph_def.node
            if node.op == "Identity"
            and node.name not in handles
            and node_of(node.input[0]) in handles
        }
        if not more:
            break
        handles.update(more)
    return handles


def _values(function: Any, captured: dict[str, Any]) -> dict[str, NDArray[Any]] | None:
    """Return the numbers of all captured tensors, or None where one is no variable.

    The arrays are views of TensorFlow's own memory.
    """
    variables = {id(variable.handle): variable for variable in function.graph.variables}
    values = {}
    for name, handle in captured.items():
        if handle.dtype.as_datatype_enum != _RESOURCE:
            values[name] = np.asarray(handle)
        elif id(handle) in variables:
            values[name] = np.asarray(variables[id(handle)].value())
        else:
            return None
    return values


def _gather(graph_def: GraphDef, node: NodeDef, table: str) -> None:
    """Write a gathering from a variable as one from a constant, along its first axis."""
    axis = f"{node.name}/axis"
    add_constant(graph_def, axis, np.zeros((), np.int32))
    gather = graph_def.node.add(name=node.name, op="GatherV2", input=[table, node.input[1], axis])
    gather.attr["Tparams"].CopyFrom(node.attr["dtype"])
    gather.attr["Tindices"].CopyFrom(node.attr["Tindices"])
    gather.attr["Taxis"].type = 3  # DT_INT32
    gather.attr["batch_dims"].CopyFrom(node.attr["batch_dims"])
