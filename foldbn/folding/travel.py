"""A map's journey through a graph, as a transaction: all of it arrives, or nothing changes.

A journey gathers the maps at all ports of a node before it asks the rule, so that branches
that part and meet again are seen as one. Nothing is edited here: a journey that succeeds
says which ops would change.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from foldbn import ops
from foldbn.affine import Affine
from foldbn.graph import Edge, Graph, Node
from foldbn.rules import Absorbs, Blocks, Passes, backward, forward

_STEEPEST = 16.0
_TINY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class Journey:
    """Where a map went.

    Attributes:
        edits: the new op of each node that the map changed or crossed.
        absorbed: nodes whose weights took a part of it.
        crossed: nodes it passed.
    """

    edits: dict[str, ops.Op] = field(default_factory=dict)
    absorbed: list[str] = field(default_factory=list)
    crossed: list[str] = field(default_factory=list)

    def op_of(self, node: Node) -> ops.Op:
        """Return what a node computes so far: a journey may come by twice."""
        return self.edits.get(node.name, node.op)

    def note(self, node: Node, outcome: Absorbs | Passes) -> None:
        """Add one step; an op that is the same afterwards has taken nothing."""
        before = self.op_of(node)
        self.edits[node.name] = outcome.op
        if isinstance(outcome, Passes):
            self.crossed.append(node.name)
        elif outcome.op is not before:
            self.absorbed.append(node.name)


@dataclass(frozen=True)
class Stuck:
    """Where a map's journey ended, and why: a clause that names the layer."""

    reason: str


def travel_forward(graph: Graph, start: Node) -> Journey | Stuck:
    """Send the map of affine node `start` through every reader of its output."""
    journey, waiting = Journey(), _Waiting()
    stuck = _spread(graph, waiting, start.output, affine_of(start))
    return stuck or _advance(graph, waiting, journey) or journey


def _advance(
    graph: Graph, waiting: _Waiting, journey: Journey, closed: frozenset[str] = frozenset()
) -> Stuck | None:
    """Send all maps that wait through their nodes, to the end; `closed` nodes let none by."""
    for node in graph:
        if node.name not in waiting:
            continue
        if node.name in closed:
            return Stuck(f"at {_place(node)}, the map would meet itself")
        outcome = forward(journey.op_of(node), waiting.at(node))
        if isinstance(outcome, Blocks):
            return Stuck(f"at {_place(node)}, {outcome.reason}")
        journey.note(node, outcome)
        if isinstance(outcome, Passes):
            stuck = _spread(graph, waiting, node.output, outcome.maps[0])
            if stuck is not None:
                return stuck
    return None


def travel_backward(graph: Graph, start: Node) -> Journey | Stuck:
    """Send the map of affine node `start` through the producer of its input.

    Where another layer reads what would change, it gets the inverse map, if that ends in
    weights. A product takes a scale into its first input, or else into its second.
    """
    first = _backward(graph, start, into=0)
    if isinstance(first, Journey):
        return first
    second = _backward(graph, start, into=1)
    return second if isinstance(second, Journey) else first


def _backward(graph: Graph, start: Node, into: int) -> Journey | Stuck:
    journey, waiting, undone = Journey(), _Waiting(), _Waiting()
    waiting.put(Edge(start.name, 0), affine_of(start))
    wanted = {start.inputs[0]}
    for node in reversed(list(graph)):
        if wanted.isdisjoint(node.outputs):
            continue
        wanted.difference_update(node.outputs)
        outcome = _ask_backward(graph, waiting, undone, node, into)
        if isinstance(outcome, Stuck):
            return outcome
        journey.note(node, outcome)
        for port, moved in enumerate(outcome.maps if isinstance(outcome, Passes) else ()):
            if moved is not None and not moved.is_identity:
                waiting.put(Edge(node.name, port), moved)
                wanted.add(node.inputs[port])
    if wanted:
        return Stuck("no layer stands before it, only the model's input")
    closed = frozenset([start.name, *journey.crossed])
    stuck = _advance(graph, undone, journey, closed)
    return journey if stuck is None else _forked(graph, undone, stuck)


def _forked(graph: Graph, undone: _Waiting, stuck: Stuck) -> Stuck:
    """Say which other reader could not take the inverse."""
    reader = next(node for node in graph if node.name in undone)
    port = next(port for port, affine in enumerate(undone.at(reader)) if affine is not None)
    producer = graph.producer(reader.inputs[port])
    source = "the input of the model" if producer is None else f"the output of {_place(producer)}"
    return Stuck(
        f"{source} is read by {_place(reader)} as well, which cannot take the inverse:"
        f" {stuck.reason}"
    )


def _ask_backward(
    graph: Graph, waiting: _Waiting, undone: _Waiting, node: Node, into: int
) -> Absorbs | Passes | Stuck:
    """Return what `node` does with the map that all readers of its output want."""
    if isinstance(node.op, ops.Opaque):
        told = f"at {_place(node)}, {node.op.reason}" if node.op.reason else ""
        return Stuck(told or f"no affine map can move back past {_place(node)}")
    affine = _agreed(graph, waiting, undone, node)
    if isinstance(affine, Stuck):
        return affine
    if isinstance(node.op, ops.Multiply):
        chosen = backward(replace(node.op, into=into), (affine,))
        outcome = Passes(node.op, chosen.maps) if isinstance(chosen, Passes) else chosen
    else:
        outcome = backward(node.op, (affine,))
    if isinstance(outcome, Blocks):
        return Stuck(f"at {_place(node)}, {outcome.reason}")
    return outcome


class _Waiting:
    """Maps that have arrived at edges and are not yet dealt with."""

    def __init__(self) -> None:
        self._maps: dict[str, dict[int, Affine]] = {}

    def __contains__(self, node: str) -> bool:
        return node in self._maps

    def put(self, edge: Edge, affine: Affine) -> None:
        self._maps.setdefault(edge.node, {})[edge.port] = affine

    def at(self, node: Node) -> list[Affine | None]:
        maps = self._maps[node.name]
        return [maps.get(port) for port in range(len(node.inputs))]

    def on(self, edge: Edge) -> Affine | None:
        return self._maps.get(edge.node, {}).get(edge.port)


def _spread(graph: Graph, waiting: _Waiting, tensor: str, affine: Affine | None) -> Stuck | None:
    """Put `affine` on every edge that reads `tensor`."""
    if affine is None or affine.is_identity:
        return None
    if graph.is_output(tensor):
        return Stuck("an output of the model comes next, which must stay as it is")
    for edge in graph.readers(tensor):
        waiting.put(edge, affine)
    return None


def _agreed(graph: Graph, waiting: _Waiting, undone: _Waiting, node: Node) -> Affine | Stuck:
    """Return the map that the readers of the output of `node` want applied to it.

    Those that want none get its inverse, to wait in `undone`.
    """
    tensor = node.output
    if graph.is_output(tensor):
        return Stuck(f"the output of {_place(node)} is also an output of the model")
    wanted: list[Affine] = []
    others: list[Edge] = []
    for edge in graph.readers(tensor):
        reader = graph[edge.node]
        affine = waiting.on(edge)
        if affine is not None:
            wanted.append(affine)
        elif _leaves(graph, reader):
            return Stuck(f"the output of {_place(node)} is also an output of the model")
        elif not isinstance(reader.op, ops.ShapeOf):
            others.append(edge)
    if not all(wanted[0].equals(other) for other in wanted[1:]):
        return Stuck("the branches that meet there want different maps")
    if others and (why := _not_undoable(wanted[0])):
        reader = graph[others[0].node]
        return Stuck(
            f"the output of {_place(node)} is read by {_place(reader)} as well, where the map"
            f" cannot be undone: {why}"
        )
    for edge in others:
        undone.put(edge, wanted[0].inverse())
    return wanted[0]


def _not_undoable(affine: Affine) -> str:
    """Return why a map cannot be undone without losing digits to float32; nothing where it can.

    What is scaled down and up again keeps its relative rounding, but a shift that is great
    against the numbers it is added to takes their last digits away, and channels of very
    different scale meet in one sum: scales may differ 16-fold, shifts be 16 times as great.
    A scale of zero, as a residual branch may begin with, cannot be undone, and one near it not
    in float32.
    """
    size = np.abs(affine.scale)
    least, most = float(size.min()), float(size.max())
    shift = float(np.abs(affine.shift).max())
    if least == 0:
        zeros = size.size - np.count_nonzero(size)
        return f"{zeros} of its {size.size} scales {'is' if zeros == 1 else 'are'} zero"
    if not least >= _TINY:
        return f"its least scale, {least:.1e}, is zero in float32"
    if not most <= _STEEPEST * least:
        return f"its scales differ {most / least:.3g}-fold, and {_STEEPEST:.0f}-fold is the most"
    if not shift <= _STEEPEST * least:
        return (
            f"its shift is {shift / least:.3g} times its least scale, and {_STEEPEST:.0f} times"
            " is the most"
        )
    return ""


def _leaves(graph: Graph, node: Node) -> bool:
    """Whether a node only hands its input on to the model's outputs."""
    if node.op != ops.identity():
        return False
    readers = [graph[edge.node] for edge in graph.readers(node.output)]
    return graph.is_output(node.output) or any(_leaves(graph, reader) for reader in readers)


def affine_of(node: Node) -> Affine:
    """Return the map of an affine node.

    Raises:
        TypeError: the node is none.
    """
    if not isinstance(node.op, ops.AffineOp):
        raise TypeError(f"{node.name} is {node.op.title}, not an affine layer")
    return node.op.affine


def _place(node: Node) -> str:
    """Name a node as a user knows it: its layer, and the op where the layer has several."""
    return f"{node.layer!r} ({node.op.title})"
