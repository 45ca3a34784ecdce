"""Where the shift of a map goes, of which only the scale is left beside a sum."""

from __future__ import annotations

import numpy as np
import pytest

from tests.export.passes import tidied

SUM = """(float[N, 4] x, float[N, 5] z) => (float[N, 4] y) {
    p = MatMul(z, k)  b = Add(p, t)  m = Mul(x, s)  a = Add(m, b)  y = Relu(a) }"""
WEIGHTS = {"k": (5, 4), "s": (4,), "t": (1, 4)}


@pytest.mark.parametrize("order", ["m, b", "b, m"])
def test_shift_goes_where_the_scale_is(order):
    """The scaled branch becomes a normalization, and of the other a bare product is left."""
    kinds = tidied(SUM.replace("m, b", order), WEIGHTS)
    assert sorted(kinds) == ["Add", "BatchNormalization", "MatMul", "Relu"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("float[N, 4] y)", "float[N, 4] y, float[N, 4] m)"),
        ("float[N, 4] y)", "float[N, 4] y, float[N, 4] b)"),
        ("y = Relu(a)", "r = Add(a, b)  y = Relu(r)"),
        ("y = Relu(a)", "r = Add(a, m)  y = Relu(r)"),
        ("p = MatMul(z, k)", "q = MatMul(z, k)  p = Relu(q)"),
        ("Mul(x, s)", "Mul(x, x)"),
        ("Add(p, t)", "Add(p, x)"),
        ("float[N, 4] x", "float[4] x"),
    ],
    ids=[
        "product returned",
        "sum returned",
        "sum read twice",
        "product read twice",
        "no product below",
        "no scale",
        "no shift",
        "spread over the batch",
    ],
)
def test_shift_stays(old, new):
    """What is wanted as it is, or is no map per channel, keeps its form."""
    assert "BatchNormalization" not in tidied(SUM.replace(old, new), WEIGHTS)


def test_shift_of_steps_stays():
    """A product with several rows in each sample is no Gemm."""
    text = SUM.replace("[N, ", "[N, 3, ")
    assert "BatchNormalization" not in tidied(text, WEIGHTS | {"s": (3, 1), "t": (1, 3, 1)})


def test_doubles_stay():
    """A normalization asks for float32."""
    weights = {name: np.ones(shape) for name, shape in WEIGHTS.items()}
    assert "BatchNormalization" not in tidied(SUM.replace("float", "double"), weights)


VOLUME = """(float[N, 2, 3, 4, 5] x) => (float[N, 2, 3, 4, 5] y) {
    v = Tanh(x)  m = Mul(v, s)  y = Add(m, t) }"""


@pytest.mark.parametrize("shape", [(5,), (1, 1, 5), (1, 1, 1, 1, 5)])
def test_channels_of_a_volume_come_last(shape):
    """A normalization wants them first, and two Transposes see to that."""
    kinds = tidied(VOLUME, {"s": shape, "t": (5,)})
    assert kinds == ["Tanh", "Transpose", "BatchNormalization", "Transpose"]


@pytest.mark.parametrize("shape", [(4, 1), (2, 3, 4, 5), (1,)])
def test_other_maps_of_volumes_stay(shape):
    """A map that varies along another axis, or is one for all channels, is none per channel."""
    assert tidied(VOLUME, {"s": shape, "t": (5,)}) == ["Tanh", "Mul", "Add"]


def test_pictures_with_their_channel_last_stay():
    """An image beside convolutions has its channel first, and elsewhere a form of its own."""
    text = VOLUME.replace("[N, 2, ", "[N, ")
    assert tidied(text, {"s": (5,), "t": (5,)}) == ["Tanh", "Mul", "Add"]


@pytest.mark.parametrize("lengths", ["N, 1, 3, 4, 5", "N, 1, 1, 1, 5", "2, 3, 1, 4, 5"])
def test_axes_of_length_one_are_put_back(lengths):
    """Of a volume of one slice the channel comes last again for what reads it."""
    text = VOLUME.replace("N, 2, 3, 4, 5", lengths).replace(
        "y = Add(m, t)", "a = Add(m, t)  y = Relu(a)"
    )
    kinds = tidied(text, {"s": (5,), "t": (5,)})
    assert kinds == ["Tanh", "Transpose", "BatchNormalization", "Transpose", "Relu"]
