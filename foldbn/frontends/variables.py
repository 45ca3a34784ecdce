"""Put constants in the place of the variables that a graph reads."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foldbn.frontends.frozen import (
    GraphDef,
    NodeDef,
    add_constant,
    empty_like,
    is_control,
    lighten,
    node_of,
    store,
)

_RESOURCE = 20  # DT_RESOURCE
_INT32 = 3  # DT_INT32
# What hands a handle, or a reference, on: in branches and loops of TensorFlow 1 they do.
_PLAIN = {"RefIdentity": "Identity", "RefSwitch": "Switch", "RefEnter": "Enter"}
_PASSING = ("Identity", "Switch", "Enter", *_PLAIN)
_READING = ("ReadVariableOp", "ResourceGather", "ResourceGatherNd", "VariableShape")
REFERENCES = ("Variable", "VariableV2")


def captured_variables(function: Any) -> dict[str, Any]:
    """Return the resource that each captured input of a concrete function stands for.

    The constant that freezing puts in its place has the captured input's name.
    """
    captured = function.captured_inputs
    if not captured:
        return {}
    placeholders = function.inputs[-len(captured) :]
    return {p.op.name: handle for p, handle in zip(placeholders, captured, strict=True)}


def captured_values(function: Any) -> dict[str, NDArray[Any]] | None:
    """Return the numbers of all captured tensors, or None where one is no variable.

    The arrays are views of TensorFlow's own memory.
    """
    variables = {id(variable.handle): variable for variable in function.graph.variables}
    values = {}
    for name, handle in captured_variables(function).items():
        if handle.dtype.as_datatype_enum != _RESOURCE:
            values[name] = np.asarray(handle)
        elif id(handle) in variables:
            values[name] = np.asarray(variables[id(handle)].value())
        else:
            return None
    return values


def with_constants(
    graph_def: GraphDef, known: Mapping[str, NDArray[Any]]
) -> tuple[GraphDef, dict[str, NDArray[Any]]] | None:
    """Return `graph_def` with constants in the place of variables.

    Args:
        graph_def: without calls.
        known: the value of each node that is a variable's handle, a reference to one, or a
            captured tensor.

    Returns:
        The graph and the values its nodes do not hold; None where a variable is put to
        another use than being read or gathered from.
    """
    handles = _aliases(graph_def, known)
    readers = [node for node in graph_def.node if node.name not in known and _reads(node, handles)]
    if any(node.op not in (*_READING, *_PASSING) for node in readers):
        return None
    result = empty_like(graph_def)
    values: dict[str, NDArray[Any]] = {}
    for name, value in known.items():
        store(result, values, name, value)
    for node in graph_def.node:
        if node.name in known:
            continue
        copy = result.node.add()
        copy.CopyFrom(node)
        copy.op = _PLAIN.get(node.op, node.op)
        if node.name in handles:
            _set_type(copy, "T", known[handles[node.name]].dtype)
        elif node.op in _READING and node_of(node.input[0]) in handles:
            _read(result, copy, known[handles[node_of(node.input[0])]].dtype)
    return result, values


def by_tensorflow(
    graph_def: GraphDef, keep: tuple[str, ...], known: Mapping[str, NDArray[Any]]
) -> tuple[GraphDef, dict[str, NDArray[Any]]]:
    """Return the same as `with_constants`, whatever is done to the variables.

    It is TensorFlow's own way, into functions of conditionals and loops too, and copies each
    variable several times.

    Args:
        graph_def: without calls.
        keep: the nodes that are wanted.
        known: as for `with_constants`.
    """
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_from_session_graph as convert,
    )

    held = empty_like(graph_def)
    for node in graph_def.node:
        if node.name not in known:
            held.node.append(node)
        elif _is_handle(node):
            _hold(held, node.name, known[node.name])
        else:
            add_constant(held, node.name, known[node.name])
    graph = tf.Graph()
    with graph.as_default():
        tf.import_graph_def(held, name="")
        feeds, assigned = {}, []
        for node in held.node:
            if node.name in known and node.op == "VarHandleOp":
                value = known[node.name]
                fed = tf.compat.v1.placeholder(value.dtype, value.shape)
                handle = graph.get_tensor_by_name(f"{node.name}:0")
                assigned.append(tf.raw_ops.AssignVariableOp(resource=handle, value=fed))
                # The converter reads each variable by the op of this name.
                reading = {"dtype": value.dtype, "name": f"{node.name}/Read/ReadVariableOp"}
                tf.raw_ops.ReadVariableOp(resource=handle, **reading)
                feeds[fed] = value
    options = tf.compat.v1.ConfigProto(device_count={"GPU": 0})
    with tf.compat.v1.Session(graph=graph, config=options) as session:
        session.run(assigned, feeds)
        return lighten(convert(session, held, list(keep)))


def handles_in(graph_def: GraphDef) -> dict[str, str]:
    """Return the variable behind each node of a graph that holds, or hands on, its handle."""
    own = {node.name for node in graph_def.node if node.op in REFERENCES or _is_handle(node)}
    return _aliases(graph_def, own, every=True)


def _reads(node: NodeDef, handles: dict[str, str]) -> bool:
    return any(node_of(source) in handles for source in node.input if not is_control(source))


def _aliases(graph_def: GraphDef, known: Collection[str], *, every: bool = False) -> dict[str, str]:
    """Return the node of `known` behind each node that holds, or hands on, a variable's handle.

    A reference is read by whatever reads it; unless `every` is set, only handles are followed.
    """
    handles = {
        node.name: node.name
        for node in graph_def.node
        if node.name in known and (every or _is_handle(node))
    }
    passing = [node for node in graph_def.node if node.op in _PASSING]
    for _ in range(len(passing)):
        more = {
            node.name: handles[node_of(node.input[0])]
            for node in passing
            if node.name not in handles and node_of(node.input[0]) in handles
        }
        if not more:
            break
        handles.update(more)
    return handles


def _is_handle(node: NodeDef) -> bool:
    if node.op == "Placeholder":
        return bool(node.attr["dtype"].type == _RESOURCE)
    return bool(node.op == "VarHandleOp")


def _hold(graph_def: GraphDef, name: str, value: NDArray[Any]) -> None:
    """Add a variable under the name of the placeholder that stood for its handle."""
    node = graph_def.node.add(name=name, op="VarHandleOp")
    node.attr["shared_name"].s = name.encode()
    _set_type(node, "dtype", value.dtype)
    for length in value.shape:
        node.attr["shape"].shape.dim.add(size=length)


def _set_type(node: NodeDef, attribute: str, dtype: Any) -> None:
    from tensorflow.python.framework import dtypes

    node.attr[attribute].type = dtypes.as_dtype(dtype).as_datatype_enum


def _read(graph_def: GraphDef, node: NodeDef, dtype: Any) -> None:
    """Turn the reader of a variable into one of a constant."""
    before = {name: type(value).FromString(value.SerializeToString())
              for name, value in node.attr.items()}  # fmt: skip
    controls = [source for source in node.input if is_control(source)]
    data = [source for source in node.input if not is_control(source)]
    node.attr.clear()
    if node.op == "ReadVariableOp":
        node.op = "Identity"
        _set_type(node, "T", dtype)
    elif node.op == "VariableShape":
        node.op = "Shape"
        _set_type(node, "T", dtype)
        node.attr["out_type"].type = before["out_type"].type if "out_type" in before else _INT32
    else:
        flat = node.op == "ResourceGather"
        _set_type(node, "Tparams", dtype)
        node.attr["Tindices"].CopyFrom(before["Tindices"])
        if flat:
            axis = f"{node.name}/axis"
            add_constant(graph_def, axis, np.zeros((), np.int32))
            data.append(axis)
            node.attr["Taxis"].type = _INT32
            if "batch_dims" in before:
                node.attr["batch_dims"].CopyFrom(before["batch_dims"])
        node.op = "GatherV2" if flat else "GatherNd"
    del node.input[:]
    node.input.extend([*data, *controls])
