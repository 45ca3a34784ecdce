"""What is left of whole models in an ONNX file."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

from foldbn.export import to_onnx
from foldbn.export.onnx_file import _number
from tests import journeys
from tests.export.saved import frozen
from tests.frontends.building import Model, chain, layer, make, norm
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
            (
                "Unsqueeze Transpose Conv Relu BatchNormalization Conv Relu GlobalAveragePool "
                "Flatten MatMul"
            ),
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


def run(content: bytes, **feeds: np.ndarray) -> np.ndarray:
    """Return the only output of an ONNX file."""
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, feeds)
    return np.asarray(found)


@pytest.mark.parametrize("size", [4, 40], ids=["small", "great"])
def test_weights_within_branches(tmp_path, size):
    """A weight that nothing but a branch of a conditional reads is in the file."""
    import tensorflow as tf

    def choose(x, left, right):
        large = tf.reduce_sum(x) > 0
        return tf.cond(large, lambda: tf.matmul(x, left), lambda: tf.matmul(x, right))

    rng = np.random.default_rng(0)
    weights = {name: rng.normal(size=(size, size)).astype("f4") for name in ("left", "right")}
    model = frozen(tmp_path, choose, weights, x=("float32", (None, size)))
    content = to_onnx(model)
    assert {node.op_type for node in onnx.load_from_string(content).graph.node} >= {"If"}
    for sign, name in ((1, "left"), (-1, "right")):
        x = sign * np.ones((3, size), np.float32)
        np.testing.assert_allclose(run(content, x=x), x @ weights[name], atol=1e-5)


def test_inputs_called_like_counted_names(tmp_path):
    """Two underscores and a number at the end of an input's name are the model's own."""
    import tensorflow as tf

    rng = np.random.default_rng(0)
    weights = {name: rng.normal(size=(4, 4)).astype("f4") for name in "vw"}
    ports = {"a__1": ("float32", (None, 4)), "b__7": ("float32", (None, 4))}
    x, z = rng.normal(size=(2, 3, 4)).astype(np.float32)
    one = frozen(tmp_path / "one", lambda a, v, w: a @ v @ w, weights, a__1=ports["a__1"])
    content = to_onnx(one)
    np.testing.assert_allclose(run(content, a__1=x), x @ weights["v"] @ weights["w"], atol=1e-5)
    two = frozen(
        tmp_path / "two", lambda a, b, v, w: tf.nn.relu(a @ v) + tf.nn.relu(b @ w), weights, **ports
    )
    wanted = np.maximum(x @ weights["v"], 0) + np.maximum(z @ weights["w"], 0)
    np.testing.assert_allclose(run(to_onnx(two), a__1=x, b__7=z), wanted, atol=1e-5)


def test_counted_names_keep_apart():
    """tf2onnx's own names are numbered past those of the inputs: none is there twice."""
    graph = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 18]> g (float[N] a__0) => (float[N] a__2) {'
        " a__9 = Relu(a__0)  a__7 = Neg(a__9)  a__2 = Abs(a__7) }"
    ).graph
    _number(graph)
    names = [name for node in graph.node for name in (*node.input, *node.output)]
    assert names == ["a__0", "a__5", "a__5", "a__6", "a__6", "a__2"]


@pytest.mark.parametrize(
    "layers",
    [
        [norm(), layer("Conv2D", 8, 3, groups=2)],
        [layer("Conv2D", 8, 3), layer("ReLU"), norm(), layer("Conv2D", 6, 3, groups=2)],
        [
            layer("Normalization", mean=[0.1] * 4, variance=[2.0] * 4),
            layer("Conv2D", 4, 3, groups=4),
        ],
        [layer("Conv2D", 8, 3, groups=2), norm(), layer("ReLU"), layer("Conv2D", 8, 3, groups=2)],
    ],
    ids=["before", "after ReLU", "Normalization", "between"],
)
def test_grouped_convolution_has_one_bias(layers):
    """What folds into a grouped convolution goes into the bias it has: ONNX knows no second."""
    journey = journeys.of_keras(randomise(make(Model(chain(*layers), (8, 8, 4), ""))))
    assert set(journey.outcomes.values()) == {"folded"}
    assert journey.max_rel() <= 1e-9
    nodes = onnx.load_from_string(to_onnx(journey.model)).graph.node
    convolutions = [node for node in nodes if node.op_type == "Conv"]
    kinds = [node.op for node in journey.model.graph_def.node]
    assert [len(node.input) for node in convolutions] == [3] * kinds.count("Conv2D")
