"""A layer called twice: one of its calls gets weights of its own where that pays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from foldbn import ops
from foldbn.folding import fold
from foldbn.graph import Graph, Node
from tests.graphs import assert_equal, build

TWO_CALLS = "x[4] -> Dense -> BN -> Sigmoid -> a!; x -> Dense -> Sigmoid -> b!"


def _shared(graph: Graph) -> Graph:
    """Return the graph with one kernel for all its dense layers."""
    kernel = graph["dense"].op.kernel
    nodes = [
        replace(node, op=replace(node.op, kernel=kernel), weight="kernel")
        if isinstance(node.op, ops.Dense)
        else node
        for node in graph
    ]
    return Graph(nodes, graph.outputs)


def test_small_kernel_is_copied():
    """A copy of a dozen numbers is cheaper than an affine layer."""
    sketch = build(TWO_CALLS)
    shared = replace(sketch, graph=_shared(sketch.graph))
    folding = fold(shared.graph)
    assert [each.outcome for each in folding.decisions] == ["folded"]
    assert_equal(shared, folding.graph)


@pytest.mark.parametrize(
    ("rows", "shared", "outcome"),
    [(20_000, True, "lowered"), (20_000, False, "folded"), (1_000, True, "folded")],
)
def test_great_table_is_not_copied_for_a_short_sample(rows, shared, outcome):
    """Twenty thousand rows for a sample of two are a dear copy; unshared they are none."""
    table = np.random.default_rng(0).normal(size=(rows, 3))
    norm = build("x[2x3] -> Sigmoid -> BN -> Sigmoid").graph["bn"].op
    first, second = (
        Node(name, ops.Embedding(table, 2), (f"ids_{name}",), (f"{name}:0",), name, weight=weight)
        for name, weight in (("a", "table"), ("b", "table" if shared else "other"))
    )
    bn = Node("bn", norm, ("a:0",), ("bn:0",), "bn", "BatchNormalization", sample=(2, 3))
    wall = Node("wall", ops.Opaque("Sigmoid"), ("bn:0",), ("wall:0",), "wall")
    other = Node("far", ops.Opaque("Sigmoid"), ("b:0",), ("far:0",), "far")
    (decision,) = fold(Graph([first, second, bn, wall, other], ["wall:0", "far:0"])).decisions
    assert decision.outcome == outcome
    if outcome == "lowered":
        assert "shares its weights, and a copy of 60,000 numbers" in decision.reason


def test_all_readers_together_need_no_copy():
    """Where every reader of a table gets the same map, the table itself is changed."""
    table = np.random.default_rng(0).normal(size=(20_000, 3))
    norm = build("x[2x3] -> Sigmoid -> BN -> Sigmoid").graph["bn"].op
    pair = [
        Node(name, ops.Embedding(table, 2), (f"ids_{name}",), (f"{name}:0",), name, weight="table")
        for name in "ab"
    ]
    join = Node("max", ops.Extremum("Maximum"), ("a:0", "b:0"), ("max:0",), "max")
    positive = ops.AffineOp(replace(norm.affine, scale=np.abs(norm.affine.scale)))
    bn = Node("bn", positive, ("max:0",), ("bn:0",), "bn", "BatchNormalization", sample=(2, 3))
    wall = Node("wall", ops.Opaque("Sigmoid"), ("bn:0",), ("wall:0",), "wall")
    (decision,) = fold(Graph([*pair, join, bn, wall], ["wall:0"])).decisions
    assert decision.outcome == "folded"
