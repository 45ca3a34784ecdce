"""Journeys: where a map arrives, what it crosses, and that none of them edits anything."""

from __future__ import annotations

import re

import numpy as np
import pytest

from foldbn import ops
from foldbn.affine import Affine
from foldbn.folding import fold
from foldbn.folding.travel import Journey, Stuck, travel_backward, travel_forward
from tests.graphs import assert_equal, build, show

LONG = "x[5x4x3] -> Conv -> AveragePool -> BN -> Flatten -> Dense"


def test_backward_crosses_and_arrives():
    """The journey names whom it crossed and who took the map, nearest first."""
    graph = build(LONG).graph
    journey = travel_backward(graph, graph["bn"])
    assert isinstance(journey, Journey)
    assert (journey.crossed, journey.absorbed) == (["averagepool"], ["conv"])
    assert set(journey.edits) == {"averagepool", "conv"}


def test_forward_crosses_and_arrives():
    """The journey names whom it crossed and who took the map, nearest first."""
    graph = build(LONG).graph
    journey = travel_forward(graph, graph["bn"])
    assert isinstance(journey, Journey)
    assert (journey.crossed, journey.absorbed) == (["flatten"], ["dense"])
    assert set(journey.edits) == {"flatten", "dense"}


@pytest.mark.parametrize("travel", [travel_backward, travel_forward])
def test_a_journey_edits_nothing(travel):
    """Until it is carried out, a journey leaves every node as it is."""
    graph = build(LONG).graph
    nodes = list(graph)
    travel(graph, graph["bn"])
    assert list(graph) == nodes
    assert show(graph) == "Conv -> AveragePool -> BN -> Reshape -> Dense"


def test_only_an_affine_layer_travels():
    """Asking for the journey of another layer is a mistake of the caller."""
    graph = build(LONG).graph
    with pytest.raises(TypeError, match="conv is Conv, not an affine layer"):
        travel_forward(graph, graph["conv"])


def test_one_refusal_stops_every_branch():
    """A map that one of two branches refuses arrives nowhere."""
    graph = build("x[4] -> BN -> a; a -> Dense -> b!; a -> ReLU -> c!").graph
    stuck = travel_forward(graph, graph["bn"])
    assert stuck == Stuck("at 'relu' (ReLU), ReLU lets no shift by")


def test_only_the_branches_with_a_map_are_followed():
    """A shift goes into one side of a sum; the other side is not asked."""
    graph = build("x[4] -> Dense(4) -> a; x -> Sigmoid -> b; a, b -> Add -> BN(shift) -> y").graph
    journey = travel_backward(graph, graph["bn"])
    assert (journey.crossed, journey.absorbed) == (["add"], ["dense"])


UNDONE = {
    "zero": ([1, 0, 2, 0], [0, 0, 0, 0], "2 of its 4 scales are zero"),
    "near zero": ([1, 1e-42, 2, 3], [0, 0, 0, 0], r"its least scale, 1\.0e-42, is zero in float32"),
    "steep": ([1, 64, 2, -3], [0, 0, 0, 0], r"its scales differ 64-fold"),
    "far": ([2, 3, -4, 5], [0, -80, 1, 2], r"its shift is 40 times its least scale"),
}


@pytest.mark.parametrize(("scale", "shift", "why"), UNDONE.values(), ids=UNDONE)
def test_why_a_map_cannot_be_undone(scale, shift, why):
    """Where another reader needs the inverse and there is none, the numbers say why."""
    graph = build("x[4] -> Dense(4) -> a; a -> BN -> Sigmoid -> b!; a -> Dense -> c!").graph
    affine = Affine(np.array(scale, np.float64), np.array(shift, np.float64))
    graph.replace("bn", ops.AffineOp(affine))
    stuck = travel_backward(graph, graph["bn"])
    assert isinstance(stuck, Stuck)
    told = r"is read by 'dense_1' \(Dense\) as well, where the map cannot be undone: "
    assert re.search(told + why, stuck.reason)


def test_maps_that_cancel_need_no_taker():
    """An antisymmetric shift and its transpose meet in a sum, and nothing is left to go on."""
    model = "x[2x2] -> BN -> a; a -> Transpose(1 0) -> b; a, b -> Add -> Sigmoid -> y"
    sketch = build(model)
    shift = np.array([[0.0, 3.0], [-3.0, 0.0]])
    sketch.graph.replace("bn", ops.AffineOp(Affine(np.ones((1, 1)), shift)))
    journey = travel_forward(sketch.graph, sketch.graph["bn"])
    assert (journey.crossed, journey.absorbed) == (["transpose", "add"], [])
    assert_equal(sketch, fold(sketch.graph).graph)


def test_a_map_nobody_reads_arrives():
    """A layer whose output is not read has nothing to give away."""
    graph = build("x[4] -> Sigmoid -> a!; a -> BN -> b; a -> Sigmoid -> c!").graph
    journey = travel_forward(graph, graph["bn"])
    assert (journey.crossed, journey.absorbed, journey.edits) == ([], [], {})
