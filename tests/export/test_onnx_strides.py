"""Transposed convolutions whose windows do not meet."""

from __future__ import annotations

import numpy as np
import pytest

from foldbn.export import to_onnx
from foldbn.export.onnx_strides import without_gaps
from foldbn.verification.reference import Evaluator
from foldbn.verification.runtimes import load_artifact
from tests import journeys
from tests.hard_cases.proving import stack

GAPS = {
    "a point": ((4, 5, 2), "Conv2DTranspose", 1, {"strides": 2, "padding": "same"}),
    "one axis": ((4, 5, 2), "Conv2DTranspose", 2, {"strides": (3, 1)}),
    "open lengths": ((None, None, 2), "Conv2DTranspose", 2, {"strides": 3}),
    "a sequence": ((5, 2), "Conv1DTranspose", 1, {"strides": 3}),
    "a volume": ((3, 4, 2, 2), "Conv3DTranspose", 2, {"strides": (1, 3, 4), "padding": "same"}),
    "a great kernel": ((2, 2, 40), "Conv2DTranspose", 2, {"strides": 3, "filters": 64}),
}


@pytest.mark.parametrize("case", GAPS)
def test_gaps_are_filled_with_zeros(case):
    """The ONNX file computes what TensorFlow does, normalization and all."""
    import keras

    shape, layer, size, options = GAPS[case]
    options = {"filters": 3, "kernel_size": size, "bias_initializer": "random_normal"} | options
    layers = getattr(keras.layers, layer)(**options), keras.layers.BatchNormalization()
    model = journeys.of_keras(stack(shape, *layers)).model
    name = model.inputs[0].name
    x = np.random.default_rng(0).normal(size=(2, *(n or 4 for n in shape))).astype(np.float32)
    (found,) = load_artifact(to_onnx(model), "", "").run({name: x}).values()
    (wanted,) = Evaluator(model)({name: x}).values()
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


def test_others_are_left_alone():
    """Windows that meet keep their kernel."""
    import keras

    layer = keras.layers.Conv2DTranspose(3, 2, strides=2)
    model = journeys.of_keras(stack((4, 5, 2), layer)).model
    assert without_gaps(model) is model
