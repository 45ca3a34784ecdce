"""Ops that TensorFlow has in float32 alone are computed in float64, or as they are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import foldbn
from foldbn.errors import Unsupported
from foldbn.frontends.frozen import FrozenModel, Port
from foldbn.frontends.precision import GraphRunner, widen
from foldbn.verification.reference import Evaluator
from tests.export.saved import frozen

IMAGES = ("float32", (None, 5, 4, 6))


def _image(x: Any) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(3, *x[1][1:])) * 3


@pytest.mark.parametrize(
    ("radius", "bias", "alpha", "beta"),
    [(5, 1.0, 1.0, 0.5), (1, 0.7, 0.3, 0.6), (2, 2.0, 1e-4, 0.75), (0, 1.0, 2.0, 1.0)],
)
def test_local_response_normalization(tmp_path, radius, bias, alpha, beta):
    """In float64 each channel is divided by a power of the squares around it."""
    import tensorflow as tf

    def respond(x: Any) -> Any:
        return tf.nn.local_response_normalization(x, radius, bias, alpha, beta)

    model = frozen(tmp_path, respond, {}, x=IMAGES)
    x = _image(IMAGES)
    sums = np.stack(
        [(x[..., max(0, c - radius) : c + radius + 1] ** 2).sum(-1) for c in range(6)], -1
    )
    constants = [float(np.float32(each)) for each in (bias, alpha, beta)]
    wanted = x / (constants[0] + constants[1] * sums) ** constants[2]
    np.testing.assert_allclose(Evaluator(widen(model))({"x": x})["y"], wanted, rtol=1e-12)
    single = Evaluator(model)({"x": x.astype(np.float32)})["y"]
    np.testing.assert_allclose(single, wanted, rtol=1e-5)


def _by_attributes(tf: Any, x: Any) -> Any:
    return tf.quantization.fake_quant_with_min_max_args(x, -3.0, 5.0)


def _by_inputs(tf: Any, x: Any) -> Any:
    return tf.quantization.fake_quant_with_min_max_vars(x, -2.0, 4.0, 4, narrow_range=True)


def _by_channel(tf: Any, x: Any) -> Any:
    low, high = tf.constant([-1.0, -2, -3, -1, 0, -5]), tf.constant([1.0, 2, 3, 5, 4, 0])
    return tf.quantization.fake_quant_with_min_max_vars_per_channel(x, low, high)


@pytest.mark.parametrize("quantize", [_by_attributes, _by_inputs, _by_channel])
def test_simulated_quantization(tmp_path, quantize):
    """It gives the numbers that it gives in float32, among others in float64."""
    import tensorflow as tf

    model = frozen(tmp_path, lambda x: quantize(tf, x) * 3.0, {}, x=IMAGES)
    x = _image(IMAGES).astype(np.float32)
    found = Evaluator(widen(model))({"x": x.astype(np.float64)})["y"]
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, quantize(tf, x).numpy().astype(np.float64) * 3, rtol=1e-12)


def test_they_go_all_the_way(tmp_path):
    """A network with both is folded, proven, and exported."""
    import tensorflow as tf

    rng = np.random.default_rng(0)
    weights = {"kernel": rng.normal(size=(3, 3, 6, 6)).astype(np.float32)}

    def network(x: Any, kernel: Any) -> Any:
        y = tf.nn.conv2d(x, kernel, 1, "SAME") * [1.0, -2, 0, 3, 0.5, 2] + [1.0, 2, 3, 4, 5, 6]
        return _by_attributes(tf, tf.nn.local_response_normalization(tf.nn.relu(y)))

    frozen(tmp_path, network, weights, x=IMAGES)
    path = tmp_path / "saved"
    result = foldbn.convert(path, output_dir=tmp_path, bench=False, require_fold=True)
    assert [artifact.verification.passed for artifact in result.artifacts] == [True, True]
    assert result.summary.folded == result.summary.affine_layers > 0


def _misfit(length: int | None) -> Any:
    """Return a graph that adds a row of three numbers to one of another length."""
    import tensorflow as tf

    graph = tf.Graph()
    with graph.as_default():
        x = tf.compat.v1.placeholder("float32", (None, length), name="x")
        y = tf.compat.v1.placeholder_with_default(np.ones(3, np.float32), None)
        tf.add(x, y, name="y")
    return FrozenModel(
        graph.as_graph_def(),
        (Port("x", "x", (None, length), "float32"),),
        (Port("y", "y", (None, length), "float32"),),
    )


def test_hint_speaks_of_lengths_where_there_are_any():
    """Inputs of other lengths help only a model that takes them."""
    x = {"x": np.zeros((2, 4), np.float32)}
    with pytest.raises(Unsupported) as caught:
        GraphRunner(_misfit(None)).run(["y"], x)
    assert "--samples" in caught.value.hint
    with pytest.raises(Unsupported) as caught:
        GraphRunner(_misfit(4)).run(["y"], x)
    assert "--samples" not in caught.value.hint


def test_hint_on_an_op_without_kernel():
    """An op of a type that TensorFlow has not is no matter of lengths, either."""
    model = _misfit(None)
    next(node for node in model.graph_def.node if node.name == "y").op = "LRN"
    with pytest.raises(Unsupported) as caught:
        GraphRunner(model)
    assert "other ops" in caught.value.hint
