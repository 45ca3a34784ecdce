"""What saves and restores the variables of a SavedModel: who may reach it, and what it tells.

Its ops write and read files. foldbn runs none of them: it looks up in the graph which entry of
the checkpoint is assigned to which variable, and reads the checkpoint itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from foldbn.errors import Unsafe
from foldbn.frontends.chance import functions_of
from foldbn.frontends.frozen import is_control, node_of
from foldbn.frontends.variables import REFERENCES

_WRITING = ("SaveV2", "Save", "SaveSlices", "MergeV2Checkpoints")
_READING = ("RestoreV2", "Restore", "RestoreSlice")
SAVER = {**dict.fromkeys(_WRITING, "writes files"), **dict.fromkeys(_READING, "reads files")}
_SAME = ("Identity", "Reshape", "Cast", "PlaceholderWithDefault", "RefIdentity")
_ASSIGNING = ("Assign", "AssignVariableOp")

Nodes = Mapping[str, Any]


class Entry(NamedTuple):
    """An entry of a checkpoint, or a slice of one: ``4,6 0,2:-`` is two rows of four."""

    key: str
    slices: str


def check_saver(meta: Any, path: str) -> None:
    """Refuse ops of the saver that loading or a signature would run.

    Args:
        meta: the MetaGraphDef.
        path: of the model, for messages.

    Raises:
        Unsafe: there is one.
    """
    functions = {f.signature.name: f.node_def for f in meta.graph_def.library.function}
    graph = {node.name: node for node in meta.graph_def.node}
    waiting: list[tuple[str, Any]] = []
    for what, roots in _started(meta):
        waiting += [(what, graph[name]) for name in _needed(roots, graph)]
    called = {name for name in meta.object_graph_def.concrete_functions if name in functions}
    waiting += [("loading it", node) for name in sorted(called) for node in functions[name]]
    while waiting:
        what, node = waiting.pop()
        if node.op in SAVER:
            raise Unsafe(
                f"{path!r} has an op {node.op} ({node.name}), which {SAVER[node.op]}, outside of"
                f" its saver: {what} would run it",
                "export the model without it",
            )
        for name in (*functions_of(node), node.op):
            if name in functions and name not in called:
                called.add(name)
                waiting += [(what, inner) for inner in functions[name]]
    if not meta.object_graph_def.nodes:
        _check_restoring(meta, graph, path)


def _started(meta: Any) -> Iterator[tuple[str, list[str]]]:
    """Yield what is run, and the nodes that it begins with: signatures and initializers."""
    for name, signature in meta.signature_def.items():
        yield (
            f"the signature {name!r}",
            [node_of(tensor) for port in signature.outputs.values() for tensor in tensors_of(port)],
        )
    for name in ("saved_model_main_op", "saved_model_init_op", "legacy_init_op"):
        if name in meta.collection_def:
            yield "the init op", [node_of(n) for n in meta.collection_def[name].node_list.value]


def tensors_of(port: Any) -> list[str]:
    """Return the names of the tensors that a TensorInfo stands for: one, unless it is sparse."""
    encoding = port.WhichOneof("encoding")
    if encoding == "coo_sparse":
        sparse = port.coo_sparse
        return [
            sparse.values_tensor_name,
            sparse.indices_tensor_name,
            sparse.dense_shape_tensor_name,
        ]
    if encoding == "composite_tensor":
        return [part.name for part in port.composite_tensor.components]
    return [port.name] if port.name else []


def _needed(roots: list[str], graph: Nodes) -> set[str]:
    needed: set[str] = set()
    waiting = [root for root in roots if root in graph]
    while waiting:
        name = waiting.pop()
        if name not in needed:
            needed.add(name)
            waiting += [s for s in map(node_of, graph[name].input) if s in graph]
    return needed


def _check_restoring(meta: Any, graph: Nodes, path: str) -> None:
    """Refuse a restore op that writes, or reads elsewhere: TensorFlow runs that of version 1."""
    own = node_of(meta.saver_def.filename_tensor_name)
    for name in _needed([node_of(meta.saver_def.restore_op_name)], graph):
        node = graph[name]
        if node.op in _WRITING or (
            node.op in _READING and _origin(node.input[0], graph, own) != own
        ):
            raise Unsafe(
                f"{path!r} has an op {node.op} ({name}), which {SAVER[node.op]}: restoring the"
                " variables would run it on another file",
                "export the model anew",
            )


def _origin(source: str, nodes: Nodes, wanted: str = "") -> str:
    """Return the node whose value a tensor is, or `wanted` if it comes by there."""
    name = node_of(source)
    while name != wanted and name in nodes and nodes[name].op in _SAME and nodes[name].input:
        name = node_of(nodes[name].input[0])
    return name


def restored_from(meta: Any) -> dict[str, Entry]:
    """Return the checkpoint's entry for each variable, by the name of its node.

    The restore op, or the functions it calls, are full of pairs like ``Assign(w, RestoreV2:3)``.
    """
    graph = {node.name: node for node in meta.graph_def.node}
    library = {function.signature.name: function for function in meta.graph_def.library.function}
    needed = _needed([node_of(meta.saver_def.restore_op_name)], graph)
    found: dict[str, Entry] = {}
    waiting: list[tuple[Nodes, list[Any], dict[str, str]]] = [
        (graph, [graph[name] for name in needed], {})
    ]
    while waiting:
        nodes, members, bound = waiting.pop()
        for node in members:
            data = [source for source in node.input if not is_control(source)]
            if node.op in _ASSIGNING:
                variable = _variable(data[0], nodes, bound)
                entry = _entry(data[1], nodes)
                if variable and entry:
                    found[variable] = entry
            for name in (*functions_of(node), node.op):
                if name not in library:
                    continue
                function = library[name]
                arguments = [argument.name for argument in function.signature.input_arg]
                inside = {
                    argument: _variable(source, nodes, bound)
                    for argument, source in zip(arguments, data, strict=False)
                }
                own = {inner.name: inner for inner in function.node_def}
                waiting.append((own, list(function.node_def), inside))
    return found


def _variable(source: str, nodes: Nodes, bound: dict[str, str]) -> str:
    """Return the node of the variable whose handle or reference a tensor is, or nothing."""
    name = _origin(source, nodes)
    if name in nodes and nodes[name].op in ("VarHandleOp", *REFERENCES):
        return name
    return bound.get(name, "")


def _entry(source: str, nodes: Nodes) -> Entry | None:
    """Return the entry of the checkpoint that a tensor of the restore op is."""
    from tensorflow.python.framework import tensor_util

    while nodes[node_of(source)].op in _SAME:
        source = nodes[node_of(source)].input[0]
    node = nodes[node_of(source)]
    if node.op != "RestoreV2":
        return None
    names, slices = (nodes[_origin(each, nodes)] for each in node.input[1:3])
    if names.op != "Const" or slices.op != "Const":
        return None
    # ``RestoreV2:3`` in a graph is ``RestoreV2:tensors:3`` in a function.
    _, _, place = source.rpartition(":")
    index = int(place) if place.isdecimal() and ":" in source else 0
    keys, parts = (tensor_util.MakeNdarray(each.attr["value"].tensor) for each in (names, slices))
    if not index < min(keys.size, parts.size):
        return None
    return Entry(keys.flat[index].decode(), parts.flat[index].decode())
