"""What is left gets the form that costs a runtime least, and computes the same."""

import numpy as np
import pytest

from foldbn import ops
from foldbn.affine import Affine
from foldbn.folding import fold
from foldbn.graph import Graph, Node
from tests.graphs import assert_equal, build, show, tell

WALLS = "x[5x4x3] -> Sigmoid -> BN -> Sigmoid"


@pytest.mark.parametrize("shape", ["5x4x3", "5x3"])
@pytest.mark.parametrize("kind", ["", "(negative)", "(dead)"])
def test_map_per_channel(shape, kind):
    """Between two walls, a map per channel of a feature map becomes a depthwise convolution."""
    sketch = build(f"x[{shape}] -> Sigmoid -> BN{kind} -> Sigmoid")
    folding = fold(sketch.graph)
    assert show(folding.graph) == "Sigmoid -> DepthwiseConv -> Sigmoid"
    assert tell(folding) == "bn lowered"
    assert_equal(sketch, folding.graph)


def test_same_map_everywhere_leaves_an_addition():
    """Where a map has one number for all, its scale goes on past what holds up the shift."""
    sketch = build("x[5x4x3] -> Sigmoid -> BN(same) -> Conv(same)")
    folding = fold(sketch.graph)
    assert show(folding.graph) == "Sigmoid -> BN -> Conv"
    assert not folding.graph["bn"].op.affine.has_scale
    assert tell(folding) == "bn lowered"
    assert_equal(sketch, folding.graph)


@pytest.mark.parametrize(("channels", "left"), [(3, "BN"), (16, "DepthwiseConv")])
def test_same_map_between_walls(channels, left):
    """Two ops with one number each are left to few channels, a convolution to many."""
    sketch = build(f"x[5x4x{channels}] -> Sigmoid -> BN(same) -> Sigmoid")
    folding = fold(sketch.graph)
    assert show(folding.graph) == f"Sigmoid -> {left} -> Sigmoid"
    assert_equal(sketch, folding.graph)


def test_reason_says_what_is_left():
    """A lowered layer has the reasons of a kept one, and says what it is now."""
    (decision,) = fold(build(WALLS).graph).decisions
    assert "forward: at 'sigmoid_1' (Sigmoid)" in decision.reason
    assert decision.reason.endswith("one depthwise convolution or normalization")


@pytest.mark.parametrize(("part", "form"), [("scale", "multiplication"), ("shift", "addition")])
@pytest.mark.parametrize("shape", ["4", "5x4x3"])
def test_one_op_already(part, form, shape):
    """A scale alone and a shift alone are one op as they are."""
    sketch = build(f"x[{shape}] -> Sigmoid -> BN({part}) -> Sigmoid")
    folding = fold(sketch.graph)
    assert show(folding.graph) == "Sigmoid -> BN -> Sigmoid"
    (decision,) = folding.decisions
    assert decision.outcome == "lowered"
    assert decision.reason.endswith(f"left as one {form}")


@pytest.mark.parametrize(
    "text",
    [
        "x[4x3] -> Sigmoid -> BN(first) -> Sigmoid",
        "x[5x4x3] -> Sigmoid -> BN(first) -> Sigmoid",
        "x[5x4x3] -> Sigmoid -> BN(full) -> Sigmoid",
    ],
    ids=["rank two, another axis", "another axis", "per element"],
)
def test_other_maps_stay(text):
    """A map that is none per channel of a feature map is kept as it was."""
    sketch = build(text)
    folding = fold(sketch.graph)
    assert tell(folding) == "bn kept"
    assert_equal(sketch, folding.graph)


@pytest.mark.parametrize("sample", [None, (5, 4, None)], ids=["no shape", "no channels"])
def test_unknown_channels_stay(sample):
    """Without a known number of channels there is no kernel to make."""
    op = ops.AffineOp(Affine(np.full((1, 1, 1), 2.0), np.ones((1, 1, 1))))
    node = Node("bn", op, ("x",), ("y",), "bn", "BatchNormalization", sample)
    assert tell(fold(Graph([node], ["y"]))) == "bn kept"


HELD_UP = "x[4] -> Sigmoid -> BN{} -> ReLU -> Dense"


def test_scale_goes_on():
    """Where only the shift is held up, the scale moves on and an addition is left."""
    sketch = build(HELD_UP.format(""))
    folding = fold(sketch.graph)
    assert show(folding.graph) == "Sigmoid -> BN -> ReLU -> Dense"
    assert not folding.graph["bn"].op.affine.has_scale
    (decision,) = folding.decisions
    assert decision.outcome == "lowered"
    assert decision.reason.endswith("left as one addition, its scale moved on")
    assert_equal(sketch, folding.graph)


@pytest.mark.parametrize("kind", ["(negative)", "(dead)"])
def test_scale_stays(kind):
    """A scale that is not positive cannot be taken out of the shift, or not past the ReLU."""
    folding = fold(build(HELD_UP.format(kind)).graph)
    assert folding.graph["bn"].op.affine.has_scale
    (decision,) = folding.decisions
    assert decision.reason.endswith("left as one depthwise convolution or normalization")


@pytest.mark.parametrize(
    "text",
    [
        "x[4] -> Sigmoid -> a; x -> Dense(4) -> b; a, b -> Multiply -> BN(negative) -> ReLU",
        "x[4] -> Dense(4) -> ReLU -> BN -> Sigmoid",
        "x[2x3x4x3] -> Conv(1x1) -> ReLU -> BN -> Sigmoid",
    ],
)
def test_scale_goes_back(text):
    """Where only the shift is held up on the way back, weights take the scale."""
    sketch = build(text)
    folding = fold(sketch.graph)
    assert not folding.graph["bn"].op.affine.has_scale
    (decision,) = folding.decisions
    assert decision.outcome == "lowered"
    assert decision.reason.endswith("left as one addition, its scale moved back")
    assert_equal(sketch, folding.graph)


def test_scale_does_not_go_back_into_another_map():
    """Two ops would be left of a map that has been lowered to one."""
    sketch = build("x[4] -> Sigmoid -> BN(negative) -> ReLU -> BN -> Sigmoid")
    folding = fold(sketch.graph)
    assert folding.graph["bn_1"].op.affine.has_scale
    assert_equal(sketch, folding.graph)


def test_scale_stays_beside_a_great_shift():
    """A shift that its scale makes too great for a float is left as it was."""
    op = ops.AffineOp(Affine(np.array([1e-9]), np.array([1.0])))
    graph = Graph(
        [
            Node("bn", op, ("x",), ("a",), "bn", "BatchNormalization", (1,)),
            Node("relu", ops.relu(), ("a",), ("b",), "relu", "ReLU", (1,)),
            Node("dense", ops.Dense(np.ones((1, 1))), ("b",), ("c",), "dense", "Dense", (1,)),
        ],
        ["c"],
    )
    assert fold(graph).graph["bn"].op.affine.has_scale


BRANCHES = "x[4] -> Sigmoid -> a; a -> Dense(4) -> b; "
SUMS = ["a, b -> Add", "b, a -> Add", "a, b -> Subtract", "b, a -> Subtract"]


@pytest.mark.parametrize("kind", ["(negative)", "(dead)"])
@pytest.mark.parametrize("total", SUMS)
def test_multiplication_of_one_branch(total, kind):
    """After a sum, weights at the end of one branch take the map; the other is scaled."""
    sketch = build(f"{BRANCHES}{total} -> BN{kind} -> ReLU -> Dense")
    folding = fold(sketch.graph)
    assert not folding.graph["bn"].op.affine.has_shift
    assert folding.graph["bn"].inputs == ("a",)
    assert folding.graph["relu"].inputs == folding.graph[total[8:].lower()].outputs
    (decision,) = folding.decisions
    assert decision.outcome == "lowered"
    assert decision.reason.endswith(
        "one multiplication or normalization of one branch of the sum before"
    )
    assert_equal(sketch, folding.graph)


def test_multiplication_of_one_branch_of_a_volume():
    """A volume, too, which has no depthwise convolution."""
    sketch = build(
        "x[3x3x3x4] -> Sigmoid -> a; a -> Conv(same) -> b; a, b -> Add -> BN(negative) -> ReLU"
    )
    folding = fold(sketch.graph)
    assert folding.graph["bn"].inputs == ("a",)
    assert_equal(sketch, folding.graph)


def test_reader_of_a_branch_gets_the_inverse():
    """Weights beside the sum that read the branch, too, undo what its producer took."""
    sketch = build(f"{BRANCHES}b -> Dense -> c!; a, b -> Add -> BN(negative) -> ReLU -> d!")
    folding = fold(sketch.graph)
    assert folding.graph["bn"].inputs == ("a",)
    assert folding.graph["dense_1"].op is not sketch.graph["dense_1"].op
    assert_equal(sketch, folding.graph)


STAYING = {
    "no weights": "a -> Sigmoid -> c; a, c -> Add -> BN(negative) -> ReLU",
    "map returned": "a, b -> Add -> BN(negative) -> c!",
    "sum returned": "a, b -> Add -> c!; c -> BN(negative) -> ReLU -> d!",
    "sum read twice": "a, b -> Add -> c; c -> BN(negative) -> ReLU -> d; c, d -> Add -> Sigmoid",
    "three branches": "a -> Sigmoid -> c; a, b, c -> Add -> BN(negative) -> ReLU",
    "one branch twice": "b, b -> Add -> BN(negative) -> ReLU",
    "wanted as it was": "b -> Sigmoid -> c; c, b -> Add -> BN(negative) -> ReLU",
    "one from the other": "b -> Bias -> c; c -> Identity -> d; d, b -> Add -> BN(dead) -> ReLU",
}


@pytest.mark.parametrize("case", STAYING)
def test_sums_that_keep_their_map(case):
    """Where no branch can take the map, or the sum is wanted without it, it stays as it is."""
    sketch = build(BRANCHES + STAYING[case])
    folding = fold(sketch.graph)
    assert folding.graph["bn"].op.affine.has_shift
    assert_equal(sketch, folding.graph)


@pytest.mark.parametrize(("kind", "told"), [("(negative)", "lowered"), ("(same)", "kept")])
def test_map_of_a_volume(kind, told):
    """One number for each channel becomes a form that the exports make one op of."""
    sketch = build(f"x[2x3x4x3] -> Sigmoid -> BN{kind} -> Sigmoid")
    folding = fold(sketch.graph)
    assert tell(folding) == f"bn {told}"
    rewritten = folding.graph["bn"].op is not sketch.graph["bn"].op
    assert rewritten == (told == "lowered")
    assert_equal(sketch, folding.graph)
