"""Read a frozen graph of TensorFlow 1, a GraphDef in a file; its user names inputs and outputs.

Such a file is a SavedModel without signatures and without variables, and is taken as one: the
tensors that the user names are its signature.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from foldbn.errors import Unreadable, Unsafe, Unsupported, UsageError, said
from foldbn.frontends import safety
from foldbn.frontends.frozen import (
    DEFAULT_SIGNATURE,
    FrozenModel,
    GraphDef,
    is_control,
    node_of,
    prune,
)
from foldbn.frontends.saved_model import load_signature
from foldbn.frontends.saved_model_repairs import REPAIRS
from foldbn.frontends.variables import REFERENCES

_LARGEST = 2**31 - 1  # bytes: more than protobuf reads
_BOOL = 10  # DT_BOOL
_SILENT = ("Const", "NoOp", "Assert", "Placeholder", "PlaceholderWithDefault")


class Ports(NamedTuple):
    """The tensors of a graph that the user calls its inputs and outputs, like ``x`` or ``x:0``."""

    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()


NO_PORTS = Ports()


def load(path: Path, ports: Ports) -> FrozenModel:
    """Return the graph in a file as a frozen graph of the given inputs and outputs.

    Raises:
        Unreadable: it is no GraphDef.
        Unsafe: an op of it is not on the list of harmless ones.
        Unsupported: no ports are given, or the graph holds variables.
        UsageError: there is no tensor of a given name.
    """
    graph_def = _parse(path)
    if not ports.inputs or not ports.outputs:
        raise Unsupported(
            f"{str(path)!r} is a TensorFlow graph, which does not say what its inputs and outputs"
            " are",
            _proposal(graph_def),
        )
    meta = _as_meta_graph(graph_def, ports)
    safety.check_meta_graph(meta, str(path))
    part = prune(graph_def, tuple(node_of(name) for name in (*ports.outputs, *ports.inputs)))
    if variables := [n for n in part.node if n.op in ("VarHandleOp", *REFERENCES)]:
        raise Unsupported(
            f"{str(path)!r} holds the variable {variables[0].name!r} without its value: it is no"
            " frozen graph",
            "give foldbn a SavedModel, or freeze the graph together with its checkpoint",
        )
    _tell_types(meta, part)
    return load_signature(path.parent, meta, DEFAULT_SIGNATURE)


def _parse(path: Path) -> GraphDef:
    from tensorflow.core.framework import graph_pb2

    graph_def = graph_pb2.GraphDef()
    if path.stat().st_size > _LARGEST:
        raise Unsafe(f"{str(path)!r} has {path.stat().st_size:,} bytes, over 2 GiB", "split it")
    try:
        graph_def.ParseFromString(path.read_bytes())
    except Exception as error:  # protobuf raises its own and others
        raise Unreadable(
            f"{str(path)!r} is a damaged TensorFlow graph", "was the download or copy interrupted?"
        ) from error
    return graph_def


def _as_meta_graph(graph_def: GraphDef, ports: Ports) -> Any:
    """Return the graph as that of a SavedModel, with one signature."""
    from tensorflow.core.protobuf import meta_graph_pb2

    nodes = {node.name: node for node in graph_def.node}
    meta = meta_graph_pb2.MetaGraphDef(graph_def=graph_def)
    meta.meta_info_def.tags.append("serve")
    signature = meta.signature_def[DEFAULT_SIGNATURE]
    for option, table, names in (
        ("--inputs", signature.inputs, ports.inputs),
        ("--outputs", signature.outputs, ports.outputs),
    ):
        for name in names:
            if node_of(name) not in nodes:
                raise UsageError(
                    f"the graph has no node {node_of(name)!r} ({option})", _proposal(graph_def)
                )
            table[name.removesuffix(":0")].name = name if ":" in name else f"{name}:0"
    return meta


def _tell_types(meta: Any, part: GraphDef) -> None:
    """Write the types and shapes of the ports that TensorFlow infers into the signature."""
    import tensorflow as tf

    graph, copy = tf.Graph(), type(part)()
    copy.CopyFrom(part)
    for repair in REPAIRS[:2]:  # devices and noted shapes, at which importing may stop
        repair(copy, ())
    signature = meta.signature_def[DEFAULT_SIGNATURE]
    try:
        with graph.as_default():
            tf.import_graph_def(copy, name="")
        for port in (*signature.inputs.values(), *signature.outputs.values()):
            tensor = graph.get_tensor_by_name(port.name)
            port.dtype = tensor.dtype.as_datatype_enum
            port.tensor_shape.CopyFrom(tensor.shape.as_proto())
    except KeyError as error:
        raise UsageError(str(error.args[0])) from error
    except ValueError as error:
        raise Unsupported(f"TensorFlow cannot build the graph: {said(error)}") from error


def _proposal(graph_def: GraphDef) -> str:
    inputs = [
        node.name
        for node in graph_def.node
        if node.op == "Placeholder" and node.attr["dtype"].type != _BOOL
    ]
    read = {node_of(s) for node in graph_def.node for s in node.input if not is_control(s)}
    outputs = [n.name for n in graph_def.node if n.name not in read and n.op not in _SILENT]
    return (
        f"name them with --inputs and --outputs: it has the placeholders {_listed(inputs)}, and"
        f" nothing reads {_listed(outputs)}"
    )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:5]))
    return f"{shown} ..." if names[5:] else shown or "(none)"
