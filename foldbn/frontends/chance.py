"""Refuse a model whose outputs depend on chance, or on the calls before: nothing can be proven.

Freezing would hide both: a seed kept in a variable becomes a constant, and the frozen graph draws
the same numbers for ever.
"""

from __future__ import annotations

from typing import Any

from foldbn.errors import Unsupported
from foldbn.frontends.attribution import owner_of
from foldbn.frontends.frozen import GraphDef, Layers, NodeDef, is_control, node_of, prune
from foldbn.frontends.pure_ops import RANDOM
from foldbn.frontends.variables import handles_in

_WRITES = ("Assign", "Scatter", "Apply")
# Functions of a seed: whether it is drawn by chance shows at what they read.
_OF_A_SEED = ("StatelessRandomGetAlg", "StatelessRandomGetKeyCounter", "RandomIndexShuffle")


def check_certainty(graph_def: GraphDef, keep: tuple[str, ...], layers: Layers) -> None:
    """Raise unless the nodes `keep` are a function of the graph's inputs.

    Args:
        graph_def: without calls, its variables not yet constants.
        keep: the nodes of the outputs.
        layers: to name the culprit.

    Raises:
        Unsupported: a random number, or a variable that a call changes, reaches an output.
    """
    part = prune(graph_def, keep)
    handles = handles_in(graph_def)
    changed = _changed(graph_def, handles)
    random = _random_functions(graph_def)
    tainted: set[str] = set()
    for node in part.node:
        if any(name in random for name in functions_of(node)):
            _refuse_chance(node, layers)
        below = {node_of(source) for source in node.input}
        if node.name in handles:
            tainted.add(node.name)
        elif node.op in RANDOM and node.op not in _OF_A_SEED:
            if below & tainted or not node.op.startswith("Stateless"):
                _refuse_chance(node, layers)
        elif below & tainted:
            tainted.add(node.name)
    for node in part.node:
        for name in {handles.get(node_of(source), "") for source in node.input} & changed:
            raise Unsupported(
                f"layer {owner_of(node, layers).layer!r} keeps a state: a call changes the variable"
                f" {name!r} that the outputs depend on, so that two calls differ",
                "export the model for inference, its layers without stateful=True",
            )


def functions_of(node: NodeDef) -> list[str]:
    """Return the names of the functions that a node's attributes hold."""
    names = []
    for value in node.attr.values():
        waiting = [value.func, *value.list.func] if _has_function(value) else []
        while waiting:
            function = waiting.pop()
            names.append(function.name)
            for inner in function.attr.values():
                if _has_function(inner):
                    waiting += [inner.func, *inner.list.func]
    return [name for name in names if name]


def _has_function(value: Any) -> bool:
    return bool(value.HasField("func") or value.list.func)


def _random_functions(graph_def: GraphDef) -> set[str]:
    """Return the library functions that draw random numbers, in whatever they call too."""
    calls = {
        function.signature.name: {name for n in function.node_def for name in functions_of(n)}
        for function in graph_def.library.function
    }
    random = {
        function.signature.name
        for function in graph_def.library.function
        if any(node.op in RANDOM and node.op not in _OF_A_SEED for node in function.node_def)
    }
    while more := {name for name, below in calls.items() if below & random} - random:
        random |= more
    return random


def _refuse_chance(node: NodeDef, layers: Layers) -> None:
    layer = owner_of(node, layers).layer
    raise Unsupported(
        f"layer {layer!r} draws random numbers ({node.op}) that the outputs depend on: two calls"
        " differ, and nothing can be proven",
        "model.export() of Keras 3 leaves augmentation like RandomFlip on: give foldbn the .keras"
        f" file, which it calls at inference, or export a model without {layer!r}",
    )


def _changed(graph_def: GraphDef, handles: dict[str, str]) -> set[str]:
    """Return the variables that some node writes."""
    return {
        handles[node_of(source)]
        for node in graph_def.node
        if any(word in node.op for word in _WRITES) or node.op.startswith("Rng")
        for source in node.input[:1]
        if not is_control(source) and node_of(source) in handles
    }
