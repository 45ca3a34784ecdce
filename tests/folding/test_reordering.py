"""Pointwise convolutions and means swap places where that saves work, and compute the same."""

import pytest

from foldbn import ops
from foldbn.folding import fold
from tests.graphs import assert_equal, build, show


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Conv(1x1 wide) -> AveragePool", "AveragePool -> Conv"),
        ("Conv(1x1 wide nobias) -> AveragePool", "AveragePool -> Conv"),
        ("Conv(1x1 wide) -> AveragePool -> AveragePool", "AveragePool -> AveragePool -> Conv"),
        ("Upsample -> Conv(1x1)", "Conv -> bilinear resizing"),
        ("Conv(1x1 wide) -> Conv(1x1 wide) -> AveragePool", "AveragePool -> Conv -> Conv"),
    ],
)
def test_swapped(before, after):
    """The convolution works on the positions of the smaller side."""
    sketch = build(f"x[7x8x40] -> Sigmoid -> {before} -> ReLU")
    folding = fold(sketch.graph)
    assert show(folding.graph) == f"Sigmoid -> {after} -> ReLU"
    assert {*folding.reordered} == {n.name for n in sketch.graph if isinstance(n.op, ops.Conv)}
    assert_equal(sketch, folding.graph)


@pytest.mark.parametrize(
    "text",
    [
        "x[7x8x40] -> Conv(1x1 thin) -> AveragePool -> ReLU",  # the pooling gains 38 channels
        "x[7x8x40] -> Conv(wide) -> AveragePool -> ReLU",
        "x[7x8x40] -> Conv(1x1 wide dilated) -> AveragePool -> ReLU",
        "x[7x8x40] -> Conv(1x1 wide) -> ReLU -> AveragePool -> ReLU",
        "x[7x8x40] -> Conv(1x1 wide) -> MaxPool -> ReLU",
        "x[7x8x40] -> Conv(1x1 wide) -> a!; a -> AveragePool -> ReLU -> b!",
        "x[7x8x40] -> Conv(1x1 wide) -> AveragePool -> y",
        "x[7x8x40] -> Conv(1x1 wide) -> a; a -> AveragePool -> b; a -> ReLU -> c!; b -> ReLU -> d!",
        "x[40x7x8] -> Conv(1x1 wide first) -> AveragePool -> ReLU",  # which mixes channels
        "x[7x8x40] -> AveragePool -> Conv(1x1 wide) -> ReLU",
        "x[7x8x4] -> Upsample -> Conv(1x1 wide) -> ReLU",  # the resizing gains 36 channels
        "x[7x8x4] -> Conv(1x1 wide) -> Upsample -> ReLU",
        "x[7x8x40] -> Resize -> Conv(1x1) -> ReLU",
        "x[7x8x40] -> ReLU -> a!; a -> Upsample -> b!; b -> Conv(1x1) -> ReLU -> c!",
    ],
)
def test_left(text):
    """What would compute something else, save nothing or is read elsewhere stays as it is."""
    sketch = build(text)
    folding = fold(sketch.graph)
    assert show(folding.graph) == show(sketch.graph)
    assert folding.reordered == ()


def test_normalization_folds_into_a_convolution_that_moves():
    """A map goes into its convolution first, then the convolution goes."""
    sketch = build("x[7x8x40] -> Sigmoid -> Conv(1x1 wide) -> AveragePool -> BN -> Sigmoid")
    folding = fold(sketch.graph)
    assert show(folding.graph) == "Sigmoid -> AveragePool -> Conv -> Sigmoid"
    assert_equal(sketch, folding.graph)


def test_all_readers_follow_the_result():
    """Nodes that read the pooling read the convolution, and nodes between the two stay."""
    chains = ["Conv(1x1 wide) -> a", "a -> AveragePool -> b; b, b -> Add -> b2"]
    sketch = build(f"x[7x8x40] -> {chains[0]}; x -> Sigmoid -> c!; {chains[1]}; b -> ReLU -> d!")
    graph = fold(sketch.graph).graph
    assert [node.name for node in graph] == ["sigmoid", "averagepool", "conv", "add", "relu"]
    assert_equal(sketch, graph)


def test_swap_of_what_is_read_elsewhere():
    """The graph itself refuses a swap that would change what others read."""
    graph = build("x[8] -> ReLU -> a!; a -> Identity -> b; b -> Sigmoid -> c!").graph
    with pytest.raises(ValueError, match="identity is not all that reads relu"):
        graph.swap("relu", "identity")
    with pytest.raises(ValueError, match="sigmoid writes a model output"):
        graph.swap("identity", "sigmoid")
    assert isinstance(graph["relu"].op, ops.Commuting)
