"""Take out a dropout that drops nothing: that of TensorFlow 1 with a keep probability of one.

Its rate was a placeholder, and its default is all that an exported graph has. The mask

    uniform in [0, 1) >= rate            rate <= 0: true whatever is drawn
    floor(keep + uniform in [0, 1))      keep = 1: one whatever is drawn

is a constant then, and no matter of chance.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from foldbn.frontends.conditionals import constant_value
from foldbn.frontends.frozen import GraphDef, NodeDef, add_constant, node_of, readers_of

_SUMS = ("Add", "AddV2")
_BROADCASTING = ("Cast", "Mul", "SelectV2", "Identity")

Interval = tuple[float, float]  # what may be drawn: from the first number on, below the second


def settle_dropouts(graph_def: GraphDef) -> GraphDef:
    """Return the graph, which is changed, with the constant masks as constants."""
    nodes = {node.name: node for node in graph_def.node}
    if not any(node.op == "RandomUniform" for node in graph_def.node):
        return graph_def
    readers = readers_of(graph_def)
    for node in list(graph_def.node):
        mask = _mask(node, nodes, graph_def)
        if mask is not None and all(n.op in _BROADCASTING for n in readers.get(node.name, ())):
            graph_def.node.remove(node)
            add_constant(graph_def, node.name, mask)
    return graph_def


def _mask(node: NodeDef, nodes: dict[str, NodeDef], graph_def: GraphDef) -> Any:
    """Return what a mask is for certain, or None."""
    if node.op == "GreaterEqual":
        drawn = _drawn(node.input[0], nodes, graph_def)
        rate = constant_value(node.input[1], nodes, graph_def)
        if drawn and rate is not None and rate.size == 1 and rate.item() <= drawn[0]:
            return np.asarray(True)  # noqa: FBT003 - the value
    if node.op == "Floor":
        drawn = _drawn(node.input[0], nodes, graph_def)
        if drawn and np.floor(drawn[0]) == np.floor(np.nextafter(drawn[1], -np.inf)):
            return np.asarray(np.floor(drawn[0]), np.float32)
    return None


def _drawn(source: str, nodes: dict[str, NodeDef], graph_def: GraphDef) -> Interval | None:
    """Return the interval of a random number, and of what arithmetic makes of it."""
    node = nodes[node_of(source)]
    if node.op == "RandomUniform":
        return 0.0, 1.0
    if node.op == "Identity":
        return _drawn(node.input[0], nodes, graph_def)
    if node.op not in (*_SUMS, "Mul"):
        return None
    values = [constant_value(each, nodes, graph_def) for each in node.input[:2]]
    place = 0 if values[0] is None else 1
    known = values[1 - place]
    if values[place] is not None or known is None or known.size != 1:
        return None
    inner = _drawn(node.input[place], nodes, graph_def)
    number = float(known.item())
    if inner is None or (node.op == "Mul" and number <= 0):
        return None
    low, high = inner
    return (low * number, high * number) if node.op == "Mul" else (low + number, high + number)
