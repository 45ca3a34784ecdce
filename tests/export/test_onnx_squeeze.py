"""Squeezes that come later, and pooling and flattening in one op."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from foldbn.export.onnx_passes import tidy
from tests.export.passes import parse, run, tidied

ONE = np.array([2], np.int64)
SEQUENCE = {"axis": ONE, "k": (4, 4, 1, 3), "c": (1, 4, 1)}
CONV = "Conv<pads = [0, 1, 0, 1]>"


def sequence(between: str, end: str = "q") -> str:
    """Return two convolutions over a sequence with something between them."""
    return f"""(float[N, 4, 1, 8] x) => (float[N, 4, 1, 8] y) {{
        p = {CONV}(x, k)  s = Squeeze(p, axis)  {between}
        u = Unsqueeze({end}, axis)  y = {CONV}(u, k) }}"""


@pytest.mark.parametrize(
    ("between", "left"),
    [
        ("q = Relu(s)", ["Conv", "Relu", "Conv"]),
        ("q = Clip(s, low, high)", ["Conv", "Clip", "Conv"]),
        ("r = PRelu(s, c)  q = Mul(r, c)", ["Conv", "PRelu", "Mul", "Conv"]),
        ("q = Mul(s, lone)", ["Conv", "Mul", "Conv"]),
        ("q = Mul(s, row)", ["Conv", "Mul", "Conv"]),
        ("b = Add(s, c)  q = Relu(b)", ["Conv", "Relu", "Conv"]),
        ("q = Add(c, s)", ["Conv", "Conv"]),
        ("r = Relu(s)  q = Add(r, s)", ["Conv", "Relu", "Add", "Conv"]),
        ("r = Relu(s)  t = Squeeze(x, axis)  q = Add(r, t)", ["Conv", "Relu", "Add", "Conv"]),
    ],
)
def test_squeeze_late(between, left):
    """What stands between two convolutions over a sequence works on their images."""
    more = {"low": np.float32(-2), "high": np.float32(5), "lone": np.float32(3), "row": (8,)}
    assert tidied(sequence(between), SEQUENCE | more) == left


def test_squeeze_late_through_transpose():
    """Two axes change places, and back: the axis of length 1 stays where it is."""
    between = "t = Transpose<perm = [0, 2, 1]>(s)  r = Relu(t)  q = Transpose<perm = [0, 2, 1]>(r)"
    kinds = tidied(sequence(between), SEQUENCE)
    assert kinds == ["Conv", "Transpose", "Relu", "Transpose", "Conv"]


def test_squeeze_late_in_an_old_opset():
    """The axes may be attributes."""
    text = f"""(float[N, 4, 1, 8] x) => (float[N, 4, 1, 8] y) {{
        p = {CONV}(x, k)  s = Squeeze<axes = [-2]>(p)  q = Relu(s)
        u = Unsqueeze<axes = [2]>(q)  y = {CONV}(u, k) }}"""
    assert tidied(text, {"k": (4, 4, 1, 3)}, 11) == ["Conv", "Relu", "Conv"]


@pytest.mark.parametrize(
    "text",
    [
        "(float[N, 4, 1, 8] x) => (float[N, 4, 8] y) { s = Squeeze(x, axis)  y = Relu(s) }",
        """(float[N, 4, 1, 8] x, float[N, 4, 8] z) => (float[N, 4, 1, 8] y) {
            s = Squeeze(x, axis)  a = Add(s, z)  y = Unsqueeze(a, axis) }""",
        """(float[N, 4, 1, 1] x) => (float[N, 4, 1, 1] y) {
            s = Squeeze(x, axis)  r = Relu(s)  u = Unsqueeze(r, last)  y = Identity(u) }""",
        """(float[N, 5, 1, 3] x, float[5, 3, 1] z) => (float[N, 5, 1, 3] y) {
            s = Squeeze(x, axis)  t = Squeeze(z, axis)  a = Add(s, t)
            u = Unsqueeze(a, axis)  y = Neg(u) }""",
        """(float[5, 3, 1] x) => (float[4, 5, 1, 3] y) {
            s = Squeeze(x, axis)  a = Add(s, more)
            u = Unsqueeze(a, axis)  y = Neg(u) }""",
    ],
    ids=[
        *("nothing to gain", "an operand of the lesser rank", "another axis"),
        *("two ranks", "a constant of the greater rank"),
    ],
)
def test_squeeze_stays(text):
    """A Squeeze that no Unsqueeze undoes stays where it is."""
    weights = {"axis": ONE, "last": np.array([3], np.int64), "more": (4, 5, 3)}
    assert "Squeeze" in tidied(text, {k: v for k, v in weights.items() if k in text})


def pooling(kind: str, shape: str, keep: int = 0) -> str:
    """Return a reduction in TensorFlow's layout, to outputs of a shape."""
    return f"""(float[N, 3, 4, 2] x) => (float[N{shape}] y) {{
        t = Transpose<perm = [0, 2, 3, 1]>(x)  y = {kind}<keepdims = {keep}>(t, axes) }}"""


@pytest.mark.parametrize(
    ("kind", "pool"), [("ReduceMean", "GlobalAveragePool"), ("ReduceMax", "GlobalMaxPool")]
)
def test_pool_globally(kind, pool):
    """A reduction of all spatial axes needs no Transpose before it."""
    axes = {"axes": np.array([1, 2], np.int64)}
    assert tidied(pooling(kind, ", 3"), axes) == [pool, "Flatten"]


def test_pool_globally_in_an_old_opset():
    """The axes may be an attribute, and counted from the end."""
    text = """(float[N, 3, 4, 2] x) => (float[N, 3] y) {
        t = Transpose<perm = [0, 2, 3, 1]>(x)
        y = ReduceMean<axes = [-2, -3], keepdims = 0>(t) }"""
    assert tidied(text, {}, 13) == ["GlobalAveragePool", "Flatten"]


@pytest.mark.parametrize(
    ("axes", "keep", "shape"),
    [([1, 2], 1, ", 1, 1, 3"), ([1], 0, ", 2, 3"), ([3], 0, ", 4, 2"), ([1, 2, 3], 0, "")],
)
def test_other_reductions_stay(axes, keep, shape):
    """A reduction of other axes, or one that keeps them, is left as it is."""
    kinds = tidied(pooling("ReduceMean", shape, keep), {"axes": np.array(axes, np.int64)})
    assert kinds == ["Transpose", "ReduceMean"]


@pytest.mark.parametrize("kind", ["int32", "int64", "double"])
def test_reductions_of_other_types_stay(kind):
    """There is a global pooling of float32 alone."""
    text = pooling("ReduceMax", ", 3").replace("float", kind)
    assert tidied(text, {"axes": np.array([1, 2], np.int64)}) == ["Transpose", "ReduceMax"]


def test_pool_over_a_sequence():
    """Between a Conv1D and a Dense nothing but the pooling is left."""
    text = """(float[N, 4, 1, 8] x) => (float[N, 2] y) {
        p = Conv(x, k)  s = Squeeze(p, axis)  t = Transpose<perm = [0, 2, 1]>(s)
        m = ReduceMean<keepdims = 0>(t, one)  y = MatMul(m, w) }"""
    weights = {"axis": ONE, "one": np.array([1], np.int64), "k": (4, 4, 1, 1), "w": (4, 2)}
    assert tidied(text, weights) == ["Conv", "GlobalAveragePool", "Flatten", "MatMul"]


FLATTEN = """(float[N, 3, 4, 2] x) => (float[N, 5] y) {
    t = Transpose<perm = [0, 2, 3, 1]>(x)  r = Reshape(t, to)  y = MatMul(r, w) }"""


@pytest.mark.parametrize("to", [[-1, 24], [0, 24], [0, -1]])
def test_flatten_directly(to):
    """The kernel's rows are permuted instead of the picture's axes."""
    kinds = tidied(FLATTEN, {"to": np.array(to, np.int64), "w": (24, 5)})
    assert kinds == ["Reshape", "MatMul"]


@pytest.mark.parametrize(
    "text",
    [
        FLATTEN.replace("y = MatMul(r, w)", "z = Relu(r)  y = MatMul(z, w)"),
        FLATTEN.replace("y = MatMul(r, w)", "a = MatMul(r, w)  b = Transpose(w)  "
                        "c = Transpose(b)  d = MatMul(r, c)  y = Add(a, d)"),
        FLATTEN.replace("perm = [0, 2, 3, 1]", "perm = [1, 2, 3, 0]").replace("N", "2"),
    ],
    ids=["something between", "the kernel is read twice", "the batch moves"],
)  # fmt: skip
def test_flatten_stays(text):
    """Where the product does not read the flattened picture alone, the Transpose is needed."""
    size = [-1, 16 if "[1," in text else 24]
    text = text.replace("float[2, 5] y", "float[3, 5] y")
    weights = {"to": np.array(size, np.int64), "w": (size[1], 5)}
    assert "Transpose" in tidied(text, weights)


def test_great_weights_are_laid_out_later():
    """A kernel that is not there yet gets nodes that permute it, to be computed once it is."""
    proto = parse(FLATTEN, {"to": np.array([-1, 24], np.int64), "w": (24, 5)})
    (kernel,) = (tensor for tensor in proto.graph.initializer if tensor.name == "w")
    before = run(proto)
    proto.graph.initializer.remove(kernel)
    proto.graph.input.append(onnx.helper.make_tensor_value_info("w", 1, (24, 5)))
    tidy(proto, ["w"])
    kinds = [node.op_type for node in proto.graph.node]
    assert sorted(kinds) == ["MatMul", "Reshape", "Reshape", "Reshape", "Transpose"]
    del proto.graph.input[1:]
    proto.graph.initializer.append(kernel)
    np.testing.assert_array_equal(run(proto)[0], before[0])
