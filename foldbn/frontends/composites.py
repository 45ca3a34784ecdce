"""Inputs of a SavedModel that are parts of a ragged or sparse tensor.

A signature declares them as dense tensors of their own: the numbers of a ragged tensor, and where
its rows end. Numbers drawn for one that do not fit the other are no input at all. What they are
parts of is told by the function that the signature calls.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from foldbn.frontends.chance import functions_of
from foldbn.frontends.frozen import is_control, node_of
from foldbn.frontends.saver import tensors_of

_KINDS = {"RaggedTensorSpec": "ragged", "SparseTensorSpec": "sparse"}
_DENSE = ("tensor_spec_value", "bounded_tensor_spec_value")


def composite_inputs(meta: Any, signature: str) -> list[tuple[str, str]]:
    """Return the inputs of a signature that belong to no dense tensor.

    Args:
        meta: the MetaGraphDef.
        signature: its name.

    Returns:
        The name of the first part of each, and its kind: ``ragged``, ``sparse`` or another.
    """
    library = {function.signature.name: function for function in meta.graph_def.library.function}
    nodes = {node.name: node for node in meta.graph_def.node}
    chosen = meta.signature_def[signature]
    names = {node_of(port.name): name for name, port in chosen.inputs.items() if port.name}
    outputs = (node_of(each) for port in chosen.outputs.values() for each in tensors_of(port))
    waiting = [(nodes[name], names) for name in set(outputs) if name in nodes]
    found: dict[str, str] = {}
    seen: set[tuple[str, frozenset[tuple[str, str]]]] = set()
    while waiting:
        node, known = waiting.pop()
        data = [node_of(source) for source in node.input if not is_control(source)]
        for name in functions_of(node):
            if name not in library or known.keys().isdisjoint(data):
                continue
            place = 0
            for kind, length in _leaves_of(name, meta):
                if kind and place < len(data) and data[place] in known:
                    found[known[data[place]]] = kind
                place += length
            function = library[name]
            arguments = [argument.name for argument in function.signature.input_arg]
            inside = {a: known[s] for a, s in zip(arguments, data, strict=False) if s in known}
            call = name, frozenset(inside.items())
            if call not in seen:  # functions that call each other twice grow without bounds
                seen.add(call)
                waiting += [(inner, inside) for inner in function.node_def]
    return sorted(found.items())


def _leaves_of(function: str, meta: Any) -> Iterator[tuple[str, int]]:
    functions = meta.object_graph_def.concrete_functions
    if function in functions:
        yield from _leaves(functions[function].canonicalized_input_signature)


def _leaves(value: Any) -> Iterator[tuple[str, int]]:
    """Yield the kind of each tensor in a structured value, in order, and of how many it consists.

    The kind of a dense one is empty.
    """
    which = value.WhichOneof("kind")
    if which in _DENSE:
        yield "", 1
    elif which == "type_spec_value":
        spec = value.type_spec_value
        name = spec.type_spec_class_name
        yield _KINDS.get(name, name), spec.num_flat_components
    elif which in ("tuple_value", "list_value"):
        for each in getattr(value, which).values:
            yield from _leaves(each)
    elif which == "named_tuple_value":
        for pair in value.named_tuple_value.values:
            yield from _leaves(pair.value)
    elif which == "dict_value":
        for _, each in sorted(value.dict_value.fields.items()):
            yield from _leaves(each)
