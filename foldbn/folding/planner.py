"""Decide, for every affine layer in topological order, where its map goes.

Backward into the producer first, then forward through all readers; a map that meets
another affine layer merges into it. What can go neither way is kept, with the reason of
both directions.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from foldbn import ops
from foldbn.folding.lowering import lower
from foldbn.folding.reordering import reorder
from foldbn.folding.sharing import too_dear
from foldbn.folding.travel import Journey, Stuck, affine_of, travel_backward, travel_forward
from foldbn.graph import Graph, Node
from foldbn.results import Decision, Direction


@dataclass(frozen=True)
class Folding:
    """The folded graph, and what became of the layers of the original.

    Attributes:
        graph: the folded graph.
        decisions: one for each affine layer.
        reordered: the pointwise convolutions that work in another place.
    """

    graph: Graph
    decisions: tuple[Decision, ...]
    reordered: tuple[str, ...]


def fold(original: Graph) -> Folding:
    """Return `original` with every affine layer folded that can be, exactly.

    The original is not changed. A node without a kind is part of another layer, like the
    constants inside an activation: it is folded where it can be, and not reported.
    """
    graph = original.copy()
    decisions: dict[str, Decision] = {}
    for node in original:
        if isinstance(node.op, ops.AffineOp):
            decisions[node.name] = _decide(graph, graph[node.name])
            _reconsider(graph, decisions)
    for name, decision in decisions.items():
        if decision.outcome == "kept" and not original[name].optional:
            decisions[name] = lower(graph, graph[name], decision)
    told = [d for name, d in decisions.items() if _is_told(original[name], d)]
    return Folding(graph, tuple(told), reorder(graph))


def _is_told(node: Node, decision: Decision) -> bool:
    return bool(node.kind) and not (node.optional and decision.outcome == "kept")


def _reconsider(graph: Graph, decisions: dict[str, Decision]) -> None:
    """Try kept layers again that the latest one has merged into: their map is another now."""
    *_, latest = decisions.values()
    if latest.outcome != "merged":
        return
    for name, earlier in decisions.items():
        if earlier.outcome == "kept" and earlier.layer in latest.into:
            decisions[name] = _decide(graph, graph[name])


def _decide(graph: Graph, node: Node) -> Decision:
    if affine_of(node).is_identity:
        return _decision(graph, node, Journey(), None)
    back = _afforded(graph, node, travel_backward(graph, node))
    if isinstance(back, Journey) and not _merges(graph, back):
        return _decision(graph, node, back, "backward")
    onward = _afforded(graph, node, travel_forward(graph, node))
    if isinstance(onward, Journey) and (isinstance(back, Stuck) or not _merges(graph, onward)):
        return _decision(graph, node, onward, "forward")
    if isinstance(back, Journey):
        return _decision(graph, node, back, "backward")
    reasons = [each.reason for each in (back, onward) if isinstance(each, Stuck)]
    return Decision(
        node.layer, node.kind, "kept", reason="backward: {}; forward: {}".format(*reasons)
    )


def _merges(graph: Graph, journey: Journey) -> bool:
    """Whether another affine layer takes a part of the map: it may have to stay where it is."""
    return any(isinstance(graph[name].op, ops.AffineOp) for name in journey.absorbed)


def _afforded(graph: Graph, node: Node, travelled: Journey | Stuck) -> Journey | Stuck:
    if isinstance(travelled, Stuck):
        return travelled
    return too_dear(graph, node, travelled) or travelled


def _decision(graph: Graph, node: Node, journey: Journey, direction: Direction | None) -> Decision:
    """Carry out `journey` in `graph`, and tell it."""
    takers = [graph[name] for name in journey.absorbed]
    merged = [taker for taker in takers if isinstance(taker.op, ops.AffineOp)]
    into = _unique(taker.layer for taker in takers)
    across = _unique(graph[name].layer for name in journey.crossed)
    for name, op in journey.edits.items():
        graph.replace(name, op)
    if graph.is_output(node.output):
        graph.replace(node.name, ops.identity())
    else:
        graph.bypass(node.name)
    return Decision(
        node.layer,
        node.kind,
        "merged" if merged else "folded",
        direction,
        into=into,
        across=tuple(layer for layer in across if layer not in into),
        reason=f"it became part of {', '.join(repr(m.layer) for m in merged)}" if merged else None,
    )


def _unique(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
