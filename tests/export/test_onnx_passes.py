"""Biases, affine maps and pads that an op takes in, and the order of the passes."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from foldbn.export.onnx_passes import tidy
from tests.export.passes import parse, tidied

BIAS = """(float[N, 3, 4, 4] x) => (float[N, 5, 4, 4] y) {
    p = Conv(x, k)  y = Add(p, b) }"""


@pytest.mark.parametrize("shape", [(5, 1, 1), (1, 5, 1, 1)])
@pytest.mark.parametrize("order", ["p, b", "b, p"])
def test_bias_into_conv(shape, order):
    """A constant for each channel becomes the bias."""
    kinds = tidied(BIAS.replace("p, b", order), {"k": (5, 3, 1, 1), "b": shape})
    assert kinds == ["Conv"]


@pytest.mark.parametrize("shape", [(4, 1), (5, 4, 4), (1,)])
def test_other_constants_stay(shape):
    """A constant that varies along other axes, or is one for all channels, is no bias."""
    assert tidied(BIAS, {"k": (5, 3, 1, 1), "b": shape}) == ["Conv", "Add"]


def test_bias_stays_beside_an_output():
    """The convolution's own output is wanted, too."""
    text = BIAS.replace("y) {", "y, float[N, 5, 4, 4] p) {")
    assert tidied(text, {"k": (5, 3, 1, 1), "b": (5, 1, 1)}) == ["Conv", "Add"]


AFFINE = """(float[N, 4] x) => (float[N, 4] y) {
    m = Mul(x, s)  a = Add(m, t)  y = Relu(a) }"""


@pytest.mark.parametrize("shape", [(4,), (1, 4)])
def test_affine_in_one(shape):
    """A scale and a shift for each channel are one normalization."""
    kinds = tidied(AFFINE, {"s": shape, "t": shape})
    assert kinds == ["BatchNormalization", "Relu"]


def test_affine_of_a_picture():
    """The channel is the second axis, and a map that varies along another stays."""
    text = AFFINE.replace("[N, 4]", "[N, 3, 4, 4]")
    assert tidied(text, {"s": (3, 1, 1), "t": (1, 3, 1, 1)}) == ["BatchNormalization", "Relu"]
    assert tidied(text, {"s": (4,), "t": (3, 1, 1)}) == ["Mul", "Add", "Relu"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("(float[N, 4] y)", "(float[N, 4] y, float[N, 4] m)"),
        ("Mul(x, s)", "Mul(x, x)"),
        ("Add(m, t)", "Add(m, x)"),
        ("Add(m, t)", "Add(m, m)"),
    ],
)
def test_other_arithmetic_stays(old, new):
    """Without two constants, or where the product itself is wanted, both ops are needed."""
    text = AFFINE.replace(old, new)
    weights = {name: (4,) for name in "st" if f", {name})" in text}
    assert tidied(text, weights) == ["Mul", "Add", "Relu"]


@pytest.mark.parametrize("kind", ["int32", "int64", "double"])
def test_affine_of_other_types_stays(kind):
    """A normalization of float32 weights computes with float32 alone."""
    maps = {name: np.array([1, -2, 3, 0], kind.replace("double", "float64")) for name in "st"}
    text = AFFINE.replace("float", kind).replace("Relu", "Abs")
    assert tidied(text, maps) == ["Mul", "Add", "Abs"]


WINDOW = """(float[N, 4, 6, 6] x) => (float[N, 4, 6, 6] y) {
    c = Conv<group = 4>(x, k, b)  y = Relu(c) }"""
OF_ONE = {"k": (4, 1, 1, 1), "b": (4,)}


@pytest.mark.parametrize("spatial", [(6,), (6, 6), (6, 6, 6)])
def test_window_of_one(spatial):
    """A depthwise convolution that sees one place is a normalization."""
    text = WINDOW.replace("[N, 4, 6, 6]", str(["N", 4, *spatial]).replace("'", ""))
    weights = {"k": (4, 1, *[1] * len(spatial)), "b": (4,)}
    assert tidied(text, weights) == ["BatchNormalization", "Relu"]


@pytest.mark.parametrize(
    ("old", "new", "kernel"),
    [
        ("Relu(c)", "LeakyRelu(c)", (4, 1, 1, 1)),
        ("group = 4", "group = 4, strides = [1, 1], pads = [1, 1, 1, 1]", (4, 1, 1, 1)),
        ("group = 4", "group = 4, pads = [1, 1, 1, 1]", (4, 1, 3, 3)),
        ("group = 4", "group = 2", (4, 2, 1, 1)),
        ("group = 4", "group = 1", (4, 4, 1, 1)),
    ],
)
def test_other_convolutions_stay(old, new, kernel):
    """What sees more than its own place and channel, or takes in its activation, is left."""
    text = WINDOW.replace(old, new)
    if "1, 1, 1, 1" in new and kernel[2:] == (1, 1):
        text = text.replace("[N, 4, 6, 6] y", "[N, 4, 8, 8] y")
    assert tidied(text, {"k": kernel, "b": (4,)})[0] == "Conv"


def test_steps_of_a_window_of_one_stay():
    """With strides a window of one leaves places out."""
    text = WINDOW.replace("group = 4", "group = 4, strides = [2, 2]")
    text = text.replace("[N, 4, 6, 6] y", "[N, 4, 3, 3] y")
    assert tidied(text, OF_ONE) == ["Conv", "Relu"]


POOL = """(float[N, 3, 6, 6] x) => (float[N, 3, 3, 3] y) {
    r = Relu(x)  p = Pad(r, pads)  y = MaxPool<kernel_shape = [3, 3], strides = [2, 2]>(p) }"""
PADS = np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64)


def test_pad_in_pool():
    """After a ReLU the zeros of a Pad never win."""
    assert tidied(POOL, {"pads": PADS}) == ["Relu", "MaxPool"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Relu(x)", "Neg(x)"),
        ("Pad(r, pads)", "Pad<mode = 'edge'>(r, pads)"),
        ("Pad(r, pads)", "Pad(r, pads, value)"),
    ],
)
def test_pad_stays(old, new):
    """Where its zeros may win, or it puts in others, a Pad is needed."""
    weights = {"pads": PADS, "value": np.float32(2)}
    text = POOL.replace(old, new.replace("'", '"'))
    kinds = tidied(text, {name: value for name, value in weights.items() if name in text})
    assert "Pad" in kinds


def test_wide_pads_stay():
    """A window of nothing but padding has no maximum."""
    text = POOL.replace("[N, 3, 3, 3]", "[N, 3, 5, 5]")
    kinds = tidied(text, {"pads": np.array([0, 0, 3, 3, 0, 0, 2, 2], np.int64)})
    assert kinds == ["Relu", "Pad", "MaxPool"]


def test_stay_in_layout():
    """Pooled to one pixel, a picture has the same numbers in every layout."""
    text = """(float[N, 3, 4, 4] x) => (float[N, 3, 1, 1] y) {
        g = GlobalAveragePool(x)  f = Flatten(g)  r = Reshape(f, to)
        t = Transpose<perm = [0, 3, 1, 2]>(r)  y = Relu(t) }"""
    to = np.array([-1, 1, 1, 3], np.int64)
    assert tidied(text, {"to": to}) == ["GlobalAveragePool", "Relu"]


def test_order_matters():
    """A Transpose of two long axes is no layout to skip, even of a square."""
    text = """(float[N, 4, 4] x) => (float[N, 4, 4] y) {
        t = Transpose<perm = [0, 2, 1]>(x)  y = Relu(t) }"""
    assert tidied(text, {}) == ["Transpose", "Relu"]


def test_what_a_branch_reads_stays():
    """A tensor that is read within an If is there for it."""
    text = """(float[N, 3, 4, 4] x, bool c) => (float[N, 3, 4, 4] y) {
        p = Conv(x, k)  a = Add(p, b)
        y = If (c) <then_branch = t () => (float[N, 3, 4, 4] u) { u = Relu(p) },
                    else_branch = e () => (float[N, 3, 4, 4] v) { v = Relu(a) }> }"""
    proto = parse(text, {"k": (3, 3, 1, 1), "b": (3, 1, 1)})
    tidy(proto, ())
    onnx.checker.check_model(proto, full_check=True)
    assert [node.op_type for node in proto.graph.node] == ["Conv", "Add", "If"]
