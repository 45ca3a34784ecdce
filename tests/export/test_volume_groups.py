"""Convolutions of volumes in several groups, which of TensorFlow only XLA computes."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import onnx
import onnxruntime
import pytest

import foldbn
from foldbn.export.onnx_passes import tidy
from foldbn.frontends.keras_files import freeze_model
from foldbn.frontends.precision import widen
from foldbn.verification.reference import Evaluator
from tests.export.passes import parse
from tests.journeys import randomise


def _model(groups: int, channels: int, filters: int, **options: Any) -> Any:
    layers = keras.layers
    inputs = keras.Input((4, 5, 4, channels), name="x")
    normed = layers.BatchNormalization(name="before")(inputs)
    y = layers.Conv3D(filters, 2, groups=groups, **options)(normed)
    outputs = layers.ReLU()(layers.BatchNormalization(name="after")(y))
    return randomise(keras.Model(inputs, outputs))


CASES = {
    "two": (2, 4, 6, {}),
    "four with strides": (4, 8, 64, {"strides": 2}),
    "one for each channel": (3, 3, 6, {"use_bias": False}),
}


@pytest.mark.parametrize("case", CASES)
def test_groups_are_computed(case):
    """In both precisions it gives what Keras predicts."""
    groups, channels, filters, options = CASES[case]
    model = _model(groups, channels, filters, **options)
    x = np.random.default_rng(0).normal(size=(3, 4, 5, 4, channels)).astype(np.float32)
    frozen = freeze_model(model)
    wanted = model.predict(x, verbose=0)
    for each, samples in ((frozen, x), (widen(frozen), x.astype(np.float64))):
        (found,) = Evaluator(each)({"x": samples}).values()
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("case", CASES)
def test_groups_are_exported(tmp_path, case):
    """Both normalizations fold, and every runtime computes it; onnxruntime as one convolution."""
    groups, channels, filters, options = CASES[case]
    path = tmp_path / "model.keras"
    _model(groups, channels, filters, **options).save(path)
    result = foldbn.convert(
        path, output_dir=tmp_path, to=("onnx", "tflite", "savedmodel"), bench=False
    )
    assert [each.verification.passed for each in result.artifacts] == [True, True, True]
    assert result.summary.folded == 2
    assert result.artifacts[2].ops["Conv3D"] == groups
    nodes = onnx.load(tmp_path / "model.onnx").graph.node
    (conv,) = (node for node in nodes if node.op_type == "Conv")
    assert {each.name: each.i for each in conv.attribute}["group"] == groups


OPEN = {
    "sequence": (1, (None, 6), {}),
    "image": (2, (None, None, 6), {"padding": "same"}),
    "image with borders": (2, (None, None, 6), {}),
}


@pytest.mark.parametrize("case", OPEN)
def test_groups_behind_a_transposed_convolution(tmp_path, case):
    """The channels are known where its borders are cut or padded by numbers that are open."""
    rank, shape, options = OPEN[case]
    layers = keras.layers
    inputs = keras.Input(shape, name="x")
    enlarge, convolve = (getattr(layers, f"Conv{rank}D{kind}") for kind in ("Transpose", ""))
    grown = enlarge(4, 2, strides=2, **options)(inputs)
    outputs = convolve(6, 3, groups=2)(layers.BatchNormalization()(grown))
    path = tmp_path / "model.keras"
    randomise(keras.Model(inputs, outputs)).save(path)
    result = foldbn.convert(path, output_dir=tmp_path, to=("onnx",), bench=False)
    assert result.artifacts[0].verification.passed
    assert result.summary.folded == 1
    nodes = onnx.load(tmp_path / "model.onnx").graph.node
    (conv,) = (node for node in nodes if node.op_type == "Conv")
    assert {each.name: each.i for each in conv.attribute}["group"] == 2


def test_channels_that_are_cut():
    """Of channels that are cut, by numbers that are open, nobody says how many there are."""
    text = """(float[N, 8, H, W] x, int64[3] ends) => (float[N, 6, H2, W2] y) {
        r = Relu(x)  c = Slice(r, starts, ends, axes)  y = Conv(c, k) }"""
    axes = np.array([1, 2, 3])
    proto = parse(text, {"k": (6, 4, 1, 1), "starts": np.zeros(3, np.int64), "axes": axes})
    tidy(proto, ())
    session = onnxruntime.InferenceSession(proto.SerializeToString())
    x = np.ones((2, 8, 5, 5), np.float32)
    (y,) = session.run(None, {"x": x, "ends": np.array([4, 3, 2])})
    assert y.shape == (2, 6, 3, 2)
