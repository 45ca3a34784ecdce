"""Freezing keeps what a function computes, and keeps great weights out of the graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from foldbn.errors import Unsafe
from foldbn.frontends.freezing import freeze
from foldbn.frontends.frozen import FrozenModel, Layers
from foldbn.verification.reference import Evaluator

SIDE = 40  # 40 x 40 numbers are great, 40 are not
SAMPLES = np.random.default_rng(1).normal(size=(3, SIDE)).astype(np.float32)


def _module() -> Any:
    import tensorflow as tf

    rng = np.random.default_rng(0)
    module = tf.Module()
    module.kernel = tf.Variable(rng.normal(size=(SIDE, SIDE)).astype(np.float32))
    module.bias = tf.Variable(rng.normal(size=SIDE).astype(np.float32))
    module.constant = tf.constant(rng.normal(size=(SIDE, SIDE)).astype(np.float32))
    return module


def _read(module: Any, x: Any) -> Any:
    return x @ module.kernel + module.bias


def _captured(module: Any, x: Any) -> Any:
    return x @ module.constant


def _gathered(module: Any, x: Any) -> Any:
    import tensorflow as tf

    rows = tf.cast(tf.abs(x) * 5, tf.int32)
    return tf.reduce_sum(tf.gather(module.kernel, rows), axis=1)


def _called(module: Any, x: Any) -> Any:
    import tensorflow as tf

    return tf.function(lambda y: y @ module.kernel)(x) - x


def _looped(module: Any, x: Any) -> Any:
    import tensorflow as tf

    return tf.while_loop(
        lambda i, _: i < 3, lambda i, y: (i + 1, tf.tanh(y @ module.kernel)), (0, x)
    )[1]


def _chosen(module: Any, x: Any) -> Any:
    import tensorflow as tf

    return tf.cond(tf.reduce_sum(x) > 0, lambda: x @ module.kernel, lambda: x - module.bias)


def _frozen(body: Any) -> tuple[FrozenModel, np.ndarray]:
    import tensorflow as tf

    module = _module()
    function = tf.function(lambda x: body(module, x), autograph=False)
    concrete = function.get_concrete_function(tf.TensorSpec((None, SIDE), name="x"))
    model = freeze(concrete, ["x"], ["y"], Layers())
    return model, concrete(tf.constant(SAMPLES)).numpy()


@pytest.mark.parametrize("body", [_read, _captured, _gathered, _called, _looped, _chosen])
def test_outputs_stay(body):
    """The frozen graph computes what the function did, however it uses its variables."""
    model, wanted = _frozen(body)
    found = Evaluator(model)({"x": SAMPLES})["y"]
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
    assert np.ptp(found) > 0.1
    assert not {"ReadVariableOp", "VarHandleOp"} & {node.op for node in model.graph_def.node}


@pytest.mark.parametrize("body", [_read, _captured, _gathered, _called])
def test_great_weights_are_stubs(body):
    """A great weight is no copy in the graph: its node has a type and a shape alone."""
    model, _ = _frozen(body)
    (name,) = model.stubs()
    assert model.values[name].shape == (SIDE, SIDE)
    assert model.graph_def.ByteSize() < SIDE * SIDE * 4


def test_whole():
    """A graph with its weights put back computes the same without the values beside it."""
    model, wanted = _frozen(_read)
    whole = FrozenModel(model.whole(), model.inputs, model.outputs)
    assert whole.stubs() == []
    np.testing.assert_allclose(Evaluator(whole)({"x": SAMPLES})["y"], wanted, rtol=1e-5, atol=1e-5)


def test_weights_are_not_copied():
    """The values are TensorFlow's own memory, for one copy of the weights is enough."""
    model, _ = _frozen(_read)
    (name,) = model.stubs()
    assert not model.values[name].flags.owndata


def test_a_tensor_that_no_memory_holds_is_refused_before_it_is_computed():
    """A few bytes of a graph can ask for 4 GiB."""
    import tensorflow as tf

    def summed(x: Any) -> Any:
        return x + tf.reduce_sum(tf.fill([2**16, 2**14], 1.0))

    function = tf.function(summed).get_concrete_function(tf.TensorSpec((None, 2), name="x"))
    with pytest.raises(Unsafe, match=r"the op Fill \(Fill\) asks for a tensor of 1,073,741,824"):
        freeze(function, ["x"], ["y"], Layers())
