"""Resizings to lengths whose quotient float32 rounds down."""

from __future__ import annotations

import numpy as np
import pytest

import foldbn
from foldbn.export.onnx_resizings import size_resizings
from tests.export.passes import parse


@pytest.mark.parametrize("batch_size", [None, 3])
@pytest.mark.parametrize("opset", [13, 18])
def test_two_resizings(tmp_path, opset, batch_size):
    """A Resize gives all rows and columns that TensorFlow does, and so does one behind it."""
    import keras
    from keras import layers

    image = keras.Input((24, 12, 2))
    x = layers.ReLU()(layers.Resizing(12, 5)(layers.Conv2D(3, 1)(image)))
    path = tmp_path / "m.keras"
    keras.Model(image, layers.Resizing(7, 5)(x)).save(path)
    result = foldbn.convert(path, bench=False, to=("onnx",), opset=opset, batch_size=batch_size)
    assert result.artifacts[0].verification.passed


def test_resizing_of_an_input(tmp_path):
    """The runtime may swap a Resize with the Transpose before it, lengths and all."""
    import keras

    image, path = keras.Input((100, 12, 3)), tmp_path / "m.keras"
    keras.Model(image, keras.layers.Resizing(64, 5)(image)).save(path)
    result = foldbn.convert(path, bench=False, to=("onnx",))
    assert result.artifacts[0].verification.passed


@pytest.mark.parametrize(("rows", "wanted", "port"), [(12, 5, 3), (12, 6, 2), (5, 12, 2)])
def test_what_is_exact_keeps_its_scale(rows, wanted, port):
    """Only where a row would be missing there are lengths in its place."""
    text = "(float[N, 2, ROWS, 4] x) => (float[N, 2, M, 4] y) { y = Resize(x, r, s) }"
    scales = np.array([1, 1, wanted / rows, 1], np.float32)
    weights = {"r": np.zeros(0, np.float32), "s": scales}
    proto = parse(text.replace("ROWS", str(rows)), weights)
    size_resizings(proto, ())
    assert len(proto.graph.node[-1].input) == port + 1  # X, roi, scales, sizes
