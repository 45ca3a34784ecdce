"""Dilated convolutions of open lengths in ONNX: the numbers of TensorFlow, in one convolution."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from foldbn.export import to_onnx
from foldbn.verification.reference import Evaluator
from foldbn.verification.runtimes import load_artifact
from tests import journeys
from tests.hard_cases.proving import stack

IMAGE, VOLUME = (None, None, 4), (None, 6, None, 4)
CASES: dict[str, tuple[tuple[int | None, ...], str, dict[str, Any]]] = {
    "image": (IMAGE, "Conv2D", {"padding": "same", "dilation_rate": 2}),
    "along one axis": (IMAGE, "Conv2D", {"padding": "same", "dilation_rate": (1, 3)}),
    "in groups": (IMAGE, "Conv2D", {"padding": "same", "dilation_rate": (1, 2), "groups": 2}),
    "depthwise": (IMAGE, "DepthwiseConv2D", {"padding": "same", "dilation_rate": (1, 3)}),
    "volume": (VOLUME, "Conv3D", {"padding": "same", "dilation_rate": 2}),
    "along two axes": (VOLUME, "Conv3D", {"padding": "same", "dilation_rate": (2, 1, 3)}),
    "valid": (IMAGE, "Conv2D", {"dilation_rate": (1, 3)}),
    "valid volume": (VOLUME, "Conv3D", {"dilation_rate": 2}),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("window", [2, 3])
def test_dilated_convolution(case, window):
    """On lengths of every remainder it is computed as one convolution, padded where it is."""
    import keras

    shape, kind, options = CASES[case]
    own = () if kind.startswith("Depthwise") else (6,)
    model = journeys.of_keras(
        stack(shape, getattr(keras.layers, kind)(*own, window, **options))
    ).model
    content = to_onnx(model)
    (name,) = (port.name for port in model.inputs)
    artifact, evaluate = load_artifact(content, "", ""), Evaluator(model)
    for length in (7, 8, 9):
        x = np.random.default_rng(0).normal(size=(3, *(n or length for n in shape)))
        samples = {name: x.astype(np.float32)}
        (found,), (wanted,) = artifact.run(samples).values(), evaluate(samples).values()
        np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    ops = [node.op_type for node in onnx.load_from_string(content).graph.node]
    assert ops.count("Conv") == 1
    assert ("Pad" in ops) == ("padding" in options)
