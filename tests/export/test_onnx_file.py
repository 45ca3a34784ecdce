"""What is left of whole models in an ONNX file."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

from foldbn.export import to_onnx
from tests import journeys
from tests.frontends.models import Model, chain, layer, make, norm
from tests.journeys import randomise

SAME = {"padding": "same"}
RELU = {"activation": "relu"}


@pytest.mark.parametrize(
    ("layers", "shape", "left"),
    [
        (
            [
                layer("Conv1D", 4, 3, **SAME, **RELU),
                norm(),
                layer("Conv1D", 4, 3, **SAME, **RELU),
                layer("GlobalAveragePooling1D"),
                layer("Dense", 3, use_bias=False),
            ],
            (16, 2),
            "Unsqueeze Transpose Conv Relu Conv Conv Relu GlobalAveragePool Flatten MatMul",
        ),
        (
            [
                layer("Conv2D", 8, 3, **SAME, **RELU),
                layer("Flatten"),
                layer("Dense", 40, use_bias=False),
            ],
            (8, 8, 2),
            "Transpose Conv Relu Reshape MatMul",
        ),
        (
            [
                layer("Conv2D", 4, 3, **RELU),
                layer("ZeroPadding2D", 1),
                layer("MaxPooling2D", 3, 2),
                layer("GlobalMaxPooling2D"),
            ],
            (9, 9, 2),
            "Transpose Conv Relu MaxPool GlobalMaxPool Flatten",
        ),
    ],
    ids=["sequence", "flatten", "padded pooling"],
)
def test_nodes(layers, shape, left):
    """The nodes are those of the layers, and they compute what the model does."""
    model = randomise(make(Model(chain(*layers), shape, "")))
    journey = journeys.of_keras(model)
    content = to_onnx(journey.model)
    nodes = onnx.load_from_string(content).graph.node
    assert " ".join(node.op_type for node in nodes) == left
    x = np.random.default_rng(0).normal(size=(3, *shape)).astype(np.float32)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {session.get_inputs()[0].name: x})
    np.testing.assert_allclose(y, model(x), rtol=1e-5, atol=1e-5)
