"""Whole graphs, folded: what is left of them, what was decided, and that no number changed."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foldbn import ops
from foldbn.folding import fold
from foldbn.graph import Graph
from tests.folding.branches import BRANCHES
from tests.folding.chains import CHAINS, X
from tests.folding.reasons import REASONS
from tests.graphs import assert_equal, build, show, tell

FOLDS = CHAINS | BRANCHES


@pytest.mark.parametrize(("model", "folded", "decisions"), FOLDS.values(), ids=FOLDS)
def test_fold(model, folded, decisions):
    """A graph folds as far as mathematics allows, and gives the same numbers afterwards."""
    sketch = build(model)
    folding = fold(sketch.graph)
    assert (show(folding.graph), tell(folding)) == (folded, decisions)
    assert_equal(sketch, folding.graph)


@pytest.mark.parametrize(("model", "words"), REASONS.values(), ids=REASONS)
def test_reason(model, words):
    """A layer that is not folded says why, and where its map was stopped."""
    decision = fold(build(model).graph).decisions[0]
    assert decision.kind == "BatchNormalization"
    assert words in decision.reason


def test_folded_needs_no_reason():
    """Only what did not fold is explained."""
    (decision,) = fold(build("x[4] -> Dense -> BN -> Sigmoid").graph).decisions
    assert decision.reason is None


@pytest.mark.parametrize("model", [model for model, _, _ in FOLDS.values()], ids=FOLDS)
def test_fold_leaves_its_argument_alone(model):
    """The graph that was given keeps its nodes, edges and numbers."""
    graph = build(model).graph
    nodes, outputs, numbers = list(graph), graph.outputs, pickle.dumps([n.op for n in graph])
    edges = [graph.readers(tensor) for node in nodes for tensor in node.inputs]
    fold(graph)
    assert list(graph) == nodes
    assert pickle.dumps([node.op for node in graph]) == numbers
    assert [graph.readers(tensor) for node in nodes for tensor in node.inputs] == edges
    assert graph.outputs == outputs


def test_folding_twice_changes_nothing_more():
    """What is left of a graph does not fold further."""
    once = fold(build(f"{X} -> Conv -> BN -> ReLU -> BN -> Conv(same)").graph)
    twice = fold(once.graph)
    assert show(twice.graph) == show(once.graph) == "Conv -> ReLU -> DepthwiseConv -> Conv"


SHAPE_READ = "x[4] -> Sigmoid -> BN -> a; a -> ShapeOf -> s!; a -> Dense -> b!"


def test_shape_reader_stops_no_map():
    """A reader of the shape alone reads the same shape without the layer."""
    sketch = build(SHAPE_READ)
    folding = fold(sketch.graph)
    assert show(folding.graph) == "Sigmoid -> ShapeOf; Dense"
    assert_equal(sketch, folding.graph)


def test_shape_reader_takes_no_weights():
    """A reader of the shape alone is not told to have taken the map."""
    assert tell(fold(build(SHAPE_READ).graph)) == "bn folded forward into dense"


def test_branches_joined_along_an_axis_fold_on():
    """Two branches of one map, joined along the rows, still have one map per channel."""
    model = f"{X} -> BN -> a; a -> MaxPool -> b; a -> AveragePool -> c; b, c -> Concat(0) -> Dense"
    sketch = build(model)
    folding = fold(sketch.graph)
    assert show(folding.graph) == "MaxPool; AveragePool; Concat -> Dense"
    assert_equal(sketch, folding.graph)


def test_empty_graph():
    """Nothing folds to nothing."""
    assert fold(Graph([], [])).decisions == ()


LAYERS = [
    *("BN", "BN(negative)", "BN(scale)", "BN(shift)", "BN(same)", "BN(same scale)", "BN(first)"),
    *("Dense(4)", "Conv(same)", "Conv(same 1x1)", "Bias", "ReLU", "Identity", "Sigmoid"),
    *("Transpose(1 0 2)", "Transpose(2 0 1)", "Add", "Concat -> Dense(4)", "Concat -> Conv(same)"),
    *("Subtract", "Multiply", "Maximum", "Conv(same 1x1)", "Dense(4)"),
]
JOINS = ("Add", "Concat", "Subtract", "Multiply", "Maximum")


@st.composite
def models(draw: st.DrawFn) -> str:
    """Draw a model of 4x4x4 samples in which anything may read anything before it."""
    chains, tensors = ["x[4x4x4] -> Identity -> t"], ["x", "t"]
    for number in range(draw(st.integers(3, 9))):
        layer = draw(st.sampled_from(LAYERS))
        arity = 2 if layer.startswith(JOINS) else 1
        sources = ", ".join(draw(st.sampled_from(tensors[-4:])) for _ in range(arity))
        mark = draw(st.sampled_from(["", "", "", "!"]))
        chains.append(f"{sources} -> {layer} -> t{number}{mark}")
        tensors.append(f"t{number}")
    return "; ".join(chains)


@settings(max_examples=300, derandomize=True, deadline=None, database=None)
@given(models())
def test_any_graph_computes_the_same(model):
    """However the layers are joined, folding changes no number and settles every layer."""
    sketch = build(model)
    folding = fold(sketch.graph)
    assert_equal(sketch, folding.graph)
    assert len(folding.decisions) == model.count("BN")
    left = [node for node in folding.graph if isinstance(node.op, ops.AffineOp)]
    one_op = [n for n in left if not (n.op.affine.has_scale and n.op.affine.has_shift)]
    outcomes = {each.layer: each.outcome for each in folding.decisions}
    assert [n.name for n in left if n not in one_op] == [
        n for n in outcomes if outcomes[n] == "kept"
    ]
    assert all(outcomes[node.name] == "lowered" for node in one_op)
