"""The graph: who writes what, who reads it, and edits that keep both true."""

from __future__ import annotations

import pytest

from foldbn import ops
from foldbn.graph import Edge, Graph, Node
from tests.graphs import build, show


def test_iterates_in_topological_order():
    """Nodes come as they were given."""
    graph = build("x[4] -> Dense -> ReLU -> Dense").graph
    assert [node.name for node in graph] == ["dense", "relu", "dense_1"]
    assert "relu" in graph
    assert "conv" not in graph
    assert graph["relu"].inputs == ("dense:0",)


def test_producer():
    """A tensor has one writer, and a model input has none."""
    graph = build("x[4] -> Dense(4) -> a; a -> Split -> ReLU -> b").graph
    assert graph.producer("a") is graph["dense"]
    assert graph.producer("split:1") is graph["split"]
    assert graph.producer("x") is None


def test_readers_are_edges():
    """A node that reads a tensor twice is two readers of it."""
    graph = build("x[4] -> Dense -> a; a, a -> Add -> b; a, b -> Add -> c").graph
    assert graph.readers("a") == (Edge("add", 0), Edge("add", 1), Edge("add_1", 0))
    assert graph.readers("c") == ()


def test_outputs():
    """The model returns what it is told to."""
    graph = build("x[4] -> Dense -> a!; a -> ReLU -> b!").graph
    assert graph.outputs == ("a", "b")
    assert graph.is_output("a")
    assert not graph.is_output("x")


def test_output_is_the_only_one():
    """A node of two outputs has no one output."""
    graph = build("x[4] -> Split -> ReLU -> a").graph
    assert graph["relu"].output == "a"
    with pytest.raises(ValueError, match="too many values"):
        _ = graph["split"].output


def test_replace_changes_the_op_alone():
    """A node keeps its name, layer and edges when its op changes."""
    graph = build("x[4] -> Dense -> ReLU -> Dense").graph
    before = graph["relu"]
    graph.replace("relu", ops.identity())
    assert show(graph) == "Dense -> Identity -> Dense"
    assert {**vars(graph["relu"]), "op": 0} == {**vars(before), "op": 0}


def test_copy_is_edited_alone():
    """Editing a copy leaves the original as it was."""
    graph = build("x[4] -> Dense -> BN -> Dense").graph
    copy = graph.copy()
    copy.bypass("bn")
    copy.replace("dense", ops.identity())
    assert show(copy) == "Identity -> Dense"
    assert show(graph) == "Dense -> BN -> Dense"
    assert graph.readers("dense:0") == (Edge("bn", 0),)


def test_bypass_hands_its_readers_on():
    """All readers of a removed node read what it read, at the ports where they read it."""
    graph = build("x[4] -> Dense -> a; a -> BN -> b; a, b -> Add; b, b -> Add; a -> ReLU").graph
    graph.bypass("bn")
    assert "bn" not in graph
    assert graph.producer("b") is None
    assert graph.readers("b") == ()
    assert set(graph.readers("a")) == {
        Edge("relu", 0),
        *(Edge(name, port) for name in ("add", "add_1") for port in (0, 1)),
    }
    assert graph["add"].inputs == graph["add_1"].inputs == ("a", "a")


def test_bypass_at_a_model_input():
    """What a removed first node read is read by the next."""
    graph = build("x[4] -> BN -> Dense").graph
    graph.bypass("bn")
    assert graph["dense"].inputs == ("x",)


def test_bypass_without_readers():
    """A node nobody reads is simply gone."""
    graph = Graph([Node("a", ops.identity(), ("x",), ("y",), "a")], ())
    graph.bypass("a")
    assert list(graph) == []


def test_bypass_refuses_a_model_output():
    """A tensor that the model returns has to be written by someone."""
    graph = build("x[4] -> Dense -> BN -> a!").graph
    with pytest.raises(ValueError, match="bn writes a model output"):
        graph.bypass("bn")
    assert show(graph) == "Dense -> BN"


def test_swap_at_a_port():
    """What reads a sum works on one of its inputs instead; the others stay."""
    graph = build("x[4] -> Dense(4) -> a; x, a -> Add -> BN -> ReLU").graph
    graph.swap("add", "bn", port=1)
    assert show(graph) == "Dense -> BN; Add -> ReLU"
    assert graph["bn"].inputs == ("a",)
    assert graph["add"].inputs == ("x", graph["bn"].output)
    assert graph["relu"].inputs == (graph["add"].output,)
