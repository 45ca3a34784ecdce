"""What is mended in the graph of an old SavedModel before it is frozen.

Each repair is a function of a graph, which it changes, and of the tensors that are fed. The graph
is a copy in memory; nothing is written, least of all into the model.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np

from foldbn.errors import Unsupported
from foldbn.frontends.freezing import Named
from foldbn.frontends.frozen import (
    GraphDef,
    NodeDef,
    add_constant,
    empty_like,
    is_control,
    node_of,
    tensor_name,
)

_BOOL = 10  # DT_BOOL
_PLACEHOLDERS = ("Placeholder", "PlaceholderV2", "PlaceholderWithDefault")
_INPUT = "foldbn_input_"

Repair = Callable[[GraphDef, Collection[str]], None]


def forget_devices(graph_def: GraphDef, _fed: Collection[str]) -> None:
    """Let every node run on any device: the GPU that it was pinned to is not here."""
    functions = graph_def.library.function
    for node in (*graph_def.node, *(n for f in functions for n in f.node_def)):
        node.device = ""
        node.attr.pop("_class", None)  # a wish to stand beside a node that may be gone


def forget_output_shapes(graph_def: GraphDef, _fed: Collection[str]) -> None:
    """Drop the shapes that the writer noted: importing stops at one that is not inferred again."""
    functions = graph_def.library.function
    for node in (*graph_def.node, *(n for f in functions for n in f.node_def)):
        node.attr.pop("_output_shapes", None)
    for function in functions:
        function.attr.pop("_output_shapes", None)


def take_defaults(graph_def: GraphDef, fed: Collection[str]) -> None:
    """Let a placeholder that nobody feeds be its default: the learning phase of Keras 2."""
    for node in graph_def.node:
        if node.op == "PlaceholderWithDefault" and node.name not in fed:
            node.op = "Identity"
            node.attr["T"].CopyFrom(node.attr["dtype"])
            for name in ("dtype", "shape"):
                node.attr.pop(name, None)


def settle_learning_phase(graph_def: GraphDef, fed: Collection[str]) -> None:
    """Let a boolean placeholder that nobody feeds be False.

    It is the learning phase of Keras 1 and the first of Keras 2: True while training. Without a
    value the graph cannot be run at all.
    """
    for node in list(graph_def.node):
        loose = node.op in _PLACEHOLDERS and node.name not in fed
        if loose and node.attr["dtype"].type == _BOOL and node.op != "PlaceholderWithDefault":
            name = node.name
            graph_def.node.remove(node)
            add_constant(graph_def, name, np.asarray(False))  # noqa: FBT003 - the value


REPAIRS: tuple[Repair, ...] = (
    forget_devices,
    forget_output_shapes,
    take_defaults,
    settle_learning_phase,
)


def repaired(
    graph_def: GraphDef, inputs: list[Named], outputs: list[Named]
) -> tuple[GraphDef, list[Named]]:
    """Return what of a graph its outputs need, mended, with a placeholder for each input.

    Args:
        graph_def: of the whole SavedModel; it stays as it is.
        inputs: tensors that are fed.
        outputs: tensors that are wanted.

    Returns:
        The graph, and the inputs as tensors of it.

    Raises:
        Unsupported: an output needs a placeholder that is no input, or a tensor is not there.
    """
    part, fed = _cut(graph_def, inputs, outputs)
    for repair in REPAIRS:
        repair(part, {node_of(port.tensor) for port in fed})
    _check_fed(part, {node_of(port.tensor) for port in fed})
    return part, fed


def _cut(
    graph_def: GraphDef, inputs: list[Named], outputs: list[Named]
) -> tuple[GraphDef, list[Named]]:
    nodes = {node.name: node for node in graph_def.node}
    for port in (*inputs, *outputs):
        if node_of(port.tensor) not in nodes:
            raise Unsupported(f"{port.name!r} names a tensor {port.tensor!r} that is not there")
    result = empty_like(graph_def)
    moved: dict[str, str] = {}
    fed = []
    for number, port in enumerate(inputs):
        origin = nodes[node_of(port.tensor)]
        plain = origin.op in _PLACEHOLDERS
        name = origin.name if plain else f"{_INPUT}{number}"
        moved[tensor_name(port.tensor)] = name
        _place(result, name, origin if plain else None, port)
        fed.append(port._replace(tensor=f"{name}:0"))
    done = {node.name for node in result.node}
    waiting = [moved.get(tensor_name(port.tensor), port.tensor) for port in outputs]
    while waiting:
        name = node_of(waiting.pop())
        if name in done:
            continue
        done.add(name)
        copy = result.node.add()
        copy.CopyFrom(nodes[name])
        for place, source in enumerate(copy.input):
            if not is_control(source):
                copy.input[place] = moved.get(tensor_name(source), source)
        waiting += [source for source in copy.input if node_of(source) in nodes]
    return result, fed


def _place(graph_def: GraphDef, name: str, origin: NodeDef | None, port: Named) -> None:
    """Add the placeholder of an input, of the shape that the signature declares."""
    node = graph_def.node.add(name=name, op="Placeholder")
    node.attr["dtype"].type = port.kind
    shape = node.attr["shape"].shape
    if port.shape is not None:
        for length in port.shape:
            shape.dim.add(size=-1 if length is None else length)
    elif origin is not None and "shape" in origin.attr:
        shape.CopyFrom(origin.attr["shape"].shape)
    else:
        shape.unknown_rank = True


def _check_fed(graph_def: GraphDef, fed: Collection[str]) -> None:
    for node in graph_def.node:
        if node.op in _PLACEHOLDERS and node.name not in fed:
            raise Unsupported(
                f"an output depends on the placeholder {node.name!r}, which is no input of the"
                " signature",
                "export the model with a signature that has it, or with a constant in its place",
            )
