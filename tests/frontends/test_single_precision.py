"""The frozen graph in float32: what changes its type, what keeps it, and what goes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from foldbn.errors import BadWeights, Unsupported
from foldbn.frontends.freezing import freeze
from foldbn.frontends.frozen import FrozenModel, Layers
from foldbn.frontends.precision import widen
from foldbn.frontends.precisions import precision_of
from foldbn.frontends.single_precision import in_float32, with_rounded_weights
from foldbn.verification.reference import Evaluator
from tests import journeys

Call = Callable[[Any, Any], Any]


def _frozen(call: Call, dtype: str = "float32", width: int = 6) -> FrozenModel:
    """Freeze ``call(tf, x)`` of samples `[width]`."""
    import tensorflow as tf

    function = tf.function(lambda x: call(tf, x), autograph=False)
    concrete = function.get_concrete_function(tf.TensorSpec((None, width), dtype))
    return freeze(concrete, ["x"], ["y"], Layers())


def _kinds(model: FrozenModel) -> set[str]:
    """Return the element types that stand anywhere in a graph and its functions."""
    import tensorflow as tf

    functions = model.graph_def.library.function
    nodes = [*model.graph_def.node, *(node for each in functions for node in each.node_def)]
    found = {
        kind
        for node in nodes
        for value in node.attr.values()
        for kind in (value.type, value.tensor.dtype, *value.list.type)
    }
    arguments = [a for f in functions for a in (*f.signature.input_arg, *f.signature.output_arg)]
    found |= {argument.type for argument in arguments}
    return {tf.as_dtype(kind).name for kind in found if kind}


def _outputs(model: FrozenModel, x: np.ndarray) -> np.ndarray:
    return Evaluator(model)({"x": x})["y"]


X = np.random.default_rng(0).normal(size=(3, 6))
W = np.random.default_rng(1).normal(size=(6, 4))


def test_a_float32_model_stays_as_it_is():
    """A graph of float32 and whole numbers alone is not touched."""
    model = _frozen(lambda tf, x: tf.cast(tf.cast(x, tf.int32), tf.float32) @ W.astype("f4"))
    assert in_float32(model) is model
    assert precision_of(model).name == "float32"


def _product(kind: str) -> Call:
    return lambda tf, x: tf.cast(x, kind) @ tf.constant(W, kind)


def _cast_product(kind: str) -> Call:
    return lambda tf, x: tf.cast(x, kind) @ tf.cast(tf.constant(W, tf.float32), kind)


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float64"])
@pytest.mark.parametrize("port", ["float32", "own"])
def test_precision(kind, port):
    """The type of the products names the model; float32 weights that are cast make it mixed."""
    dtype = kind if port == "own" else "float32"
    assert precision_of(_frozen(_product(kind), dtype)).name == kind
    mixed = precision_of(_frozen(_cast_product(kind), dtype)).name
    assert mixed == (kind if kind == "float64" else f"mixed_{kind}")


@pytest.mark.parametrize(
    ("call", "dtype", "name"),
    [
        (lambda tf, x: tf.cast(tf.cast(x, tf.float64) * 0.1, tf.float32) @ W.astype("f4"), "float32", "float32 with float64"),  # noqa: E501
        (lambda tf, x: tf.cast(tf.cast(x, tf.float16), tf.float32) @ W.astype("f4"), "float32", "float32 with float16"),  # noqa: E501
        (lambda tf, x: tf.cast(x, tf.float32) @ W.astype("f4"), "float64", "float32 with float64"),
        (lambda _, x: x + np.float16(1), "float16", "float16"),
        (lambda tf, x: tf.cast(x, tf.float32) + 1, "uint8", "float32"),
    ],
)  # fmt: skip
def test_precision_of_parts(call, dtype, name):
    """A step, a rounding and a port of another type are told beside float32."""
    assert precision_of(_frozen(call, dtype)).name == name


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "float64"])
def test_types_ports_and_casts(kind):
    """Attributes, constants and ports become float32; casts between floats go, others stay."""

    def call(tf: Any, x: Any) -> Any:
        whole = tf.cast(tf.cast(x, tf.int32), kind)
        wide = tf.cast(tf.cast(tf.cast(x, kind), tf.float32) * 2, kind)
        return (whole + wide) @ tf.constant(W, kind)

    original = _frozen(call, kind)
    single = in_float32(original)
    assert _kinds(single) == {"float32", "int32"} | (_kinds(single) & {"bool"})
    assert [port.dtype for port in (*single.inputs, *single.outputs)] == ["float32"] * 2
    casts = [node for node in single.graph_def.node if node.op == "Cast"]
    assert len(casts) == 2
    assert [port.dtype for port in original.inputs] == [kind]
    weights = W if kind == "float64" else np.asarray(_constant(original))
    wanted = (np.trunc(X) + 2 * X) @ weights
    np.testing.assert_allclose(_outputs(single, X), wanted, rtol=1e-5, atol=1e-5)


def _constant(model: FrozenModel) -> np.ndarray:
    from tensorflow.python.framework import tensor_util

    nodes = [n for n in model.graph_def.node if n.op == "Const"]
    values = [tensor_util.MakeNdarray(node.attr["value"].tensor) for node in nodes]
    (weights,) = (value for value in values if value.shape == W.shape)
    return weights.astype(np.float64)


@pytest.mark.parametrize("width", [6, 600])
def test_float64_constants_stay_exact(width):
    """Few numbers and many are rounded in the graph only: their float64 stands beside it."""
    weights = np.random.default_rng(2).normal(size=(width, 4))
    x = np.random.default_rng(3).normal(size=(2, width))
    original = _frozen(lambda tf, x: x @ tf.constant(weights), "float64", width)
    single = in_float32(original)
    np.testing.assert_allclose(_outputs(widen(single), x), x @ weights, rtol=1e-12, atol=1e-12)
    gap = np.abs(_outputs(single, x) - x @ weights).max()
    assert 1e-9 < gap < 1e-4


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_many_half_weights_stand_beside_the_graph(kind):
    """A great constant of half precision is a stub in the graph, before and after."""
    import tensorflow as tf

    weights = np.random.default_rng(2).normal(size=(600, 4))
    module = tf.Module()
    module.kernel = tf.Variable(tf.cast(weights, kind))
    original = _frozen(lambda _, x: x @ module.kernel, kind, 600)
    single = in_float32(original)
    for model in (original, single):
        (name,) = model.stubs()
        assert model.values[name].shape == weights.shape
    assert single.values[name].dtype == np.float32
    x = np.ones((1, 600))
    rounded = tf.cast(module.kernel, tf.float64).numpy()
    np.testing.assert_allclose(_outputs(widen(single), x), x @ rounded, rtol=1e-12)


def test_loops_and_branches():
    """The functions of a graph compute in float32 as well."""

    def call(tf: Any, x: Any) -> Any:
        def body(step: Any, y: Any) -> Any:
            return step + 1, y * np.float64(0.1) + tf.cast(step, tf.float64)

        y = tf.while_loop(lambda step, _: step < 3, body, (tf.constant(0), x))[1]
        return tf.cond(tf.reduce_sum(x) > 1e9, lambda: y, lambda: y + np.float64(1))

    single = in_float32(_frozen(call, "float64"))
    assert "float64" not in _kinds(single)
    assert len(single.graph_def.library.function) == 4
    wanted = X.copy()
    for step in range(3):
        wanted = wanted * 0.1 + step
    np.testing.assert_allclose(_outputs(single, X), wanted + 1, rtol=1e-6)


def test_fused_normalization_of_half_data():
    """FusedBatchNormV3 has a type for its data and one for its parameters."""

    def call(tf: Any, x: Any) -> Any:
        image = tf.cast(tf.reshape(x, (-1, 1, 2, 3)), tf.float16)
        parts = [tf.constant(v, tf.float32) for v in ((1.0, -2, 3), (0.1, 0.2, 0.3))]
        stats = [tf.constant(v, tf.float32) for v in ((0.5, 0.0, -1), (1.0, 2, 0.5))]
        normed = tf.compat.v1.nn.fused_batch_norm(image, *parts, *stats, is_training=False)[0]
        return tf.reshape(normed, (-1, 6))

    original = _frozen(call)
    (before,) = (n for n in original.graph_def.node if n.op == "FusedBatchNormV3")
    assert (before.attr["T"].type, before.attr["U"].type) == (19, 1)
    single = in_float32(original)
    (after,) = (n for n in single.graph_def.node if n.op == "FusedBatchNormV3")
    assert (after.attr["T"].type, after.attr["U"].type) == (1, 1)
    journey = journeys.of_frozen(original)
    assert list(journey.outcomes) == [each.layer for each in journey.folding.decisions]
    assert journey.max_rel() <= 1e-9
    np.testing.assert_allclose(_outputs(original, X), _outputs(single, X), atol=8e-3)


@pytest.mark.parametrize(("kind", "bits"), [("float16", "int16"), ("float64", "int64")])
def test_bits_are_those_of_the_type(kind, bits):
    """What looks at the bits of a number sees those of the type that it was written for."""

    def call(tf: Any, x: Any) -> Any:
        halved = tf.bitcast(
            tf.bitwise.bitwise_and(tf.bitcast(x, bits), tf.constant(-1, bits)), kind
        )
        return tf.where(tf.bitcast(x, bits) < 0, halved - 1, halved)

    original = _frozen(call, kind)
    single = in_float32(original)
    assert single.outputs[0].dtype == "float32"
    x = X.astype(kind)
    wanted = np.where(x < 0, x - 1, x)
    np.testing.assert_allclose(_outputs(single, x), wanted, rtol=1e-3)
    np.testing.assert_allclose(_outputs(widen(single), x), wanted, rtol=1e-3)


def test_bits_in_a_loop_are_refused():
    """A loop that looks at bits is refused rather than given those of another type."""

    def call(tf: Any, x: Any) -> Any:
        def body(step: Any, y: Any) -> Any:
            return step + 1, tf.where(tf.bitcast(y, tf.int64) < 0, y + 1, y)

        return tf.while_loop(lambda step, _: step < 3, body, (tf.constant(0), x))[1]

    with pytest.raises(Unsupported, match="looks at the bits"):
        in_float32(_frozen(call, "float64"))


def test_masks_beyond_float32_are_its_ends():
    """A constant beyond float32 becomes its greatest number; infinity stays what it is."""
    mask = np.array([0, -1.7e308, 1.7e308, -np.inf, 1, 2.0])
    model = in_float32(_frozen(lambda tf, x: x + tf.constant(mask), "float64"))
    found = _outputs(model, np.zeros((1, 6)))[0]
    greatest = np.finfo(np.float32).max
    np.testing.assert_array_equal(found, [0, -greatest, greatest, -np.inf, 1, 2])


def test_a_weight_beyond_float32_is_refused():
    """A weight that float32 does not hold is named with its size."""
    from dataclasses import replace

    weights = np.full((6, 4), 1e40)
    model = _frozen(lambda tf, x: x @ tf.constant(weights), "float64")
    (name,) = (node.name for node in model.graph_def.node if node.op == "Const")
    owned = replace(model, layers=Layers({"dense": "Dense"}, {name: "dense"}))
    with pytest.raises(BadWeights, match=r"'dense'.*1e\+40"):
        in_float32(owned)


@pytest.mark.parametrize("width", [6, 600])
def test_rounded_weights(width):
    """A mixed model with rounded weights has the numbers that it computes with."""
    import tensorflow as tf

    weights = np.random.default_rng(2).normal(size=(width, 4)).astype(np.float32)
    module = tf.Module()
    module.kernel = tf.Variable(weights)
    model = _frozen(
        lambda tf, x: tf.cast(x, tf.float16) @ tf.cast(module.kernel, tf.float16), width=width
    )
    x = np.random.default_rng(3).normal(size=(2, width))
    exact, rounded = (widen(in_float32(m)) for m in (model, with_rounded_weights(model)))
    np.testing.assert_allclose(_outputs(exact, x), x @ weights.astype(np.float64), atol=1e-12)
    halves = weights.astype(np.float16).astype(np.float64)
    np.testing.assert_allclose(_outputs(rounded, x), x @ halves, atol=1e-12)
    assert np.abs(halves - weights).max() > 1e-5
