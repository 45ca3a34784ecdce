"""Heads that end in an argmax: written without a look at bits, and the same with zeros."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from foldbn import export
from foldbn.frontends.frozen import FrozenModel
from foldbn.frontends.precision import widen
from foldbn.verification.reference import Evaluator
from foldbn.verification.runtimes import load_artifact
from tests import journeys

TINY = float(np.finfo(np.float32).tiny)
ZEROS = np.array([*itertools.product((-1, -TINY, -0.0, 0.0, 1), repeat=3)], np.float32)
BITS = {"Bitcast", "BitwiseAnd"}


def _head(function: str, *before: str, dtype: str = "float32", **options: Any) -> Any:
    import keras

    x = y = keras.Input((3,), dtype=dtype, name="x")
    for kind in before:
        y = getattr(keras.layers, kind)(dtype=dtype)(y)
    return journeys.randomise(keras.Model(x, getattr(keras.ops, function)(y, **options)), seed=3)


def _kinds(model: FrozenModel) -> set[str]:
    return {node.op for node in model.graph_def.node}


@pytest.mark.parametrize("function", ["argmax", "argmin"])
def test_negative_zeros_are_less_than_others(function):
    """Which of several zeros is chosen is what Keras says, in both precisions and both files."""
    model = _head(function, axis=-1)
    journey = journeys.of_keras(model)
    assert not BITS & _kinds(journey.model)
    wanted = model.predict(ZEROS, verbose=0)
    assert (wanted != getattr(np, function)(ZEROS, axis=-1)).any()
    runs = [Evaluator(journey.model), Evaluator(widen(journey.model))]
    runs += [
        load_artifact(export.export(journey.model, kind, len(ZEROS), 18), f"m.{kind}", "").run
        for kind in ("onnx", "tflite")
    ]
    for run in runs:
        (found,) = run({"x": ZEROS}).values()
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(
    "before", [["BatchNormalization"], ["Softmax"], ["BatchNormalization", "Softmax"]]
)
def test_nothing_stays_where_no_zero_is_negative(before):
    """Behind a sum with a constant, or a softmax, the function stands alone."""
    model = _head("argmax", *before, axis=None, keepdims=True)
    journey = journeys.of_keras(model)
    assert not {*BITS, "SelectV2", "Equal", "RealDiv"} & _kinds(journey.model)
    assert "ArgMax" in _kinds(journey.model)


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_other_precisions(dtype):
    """Bits of another type than float32 are not looked at either."""
    journey = journeys.of_keras(_head("argmin", "BatchNormalization", "ReLU", dtype=dtype, axis=-1))
    assert not BITS & _kinds(journey.model)
    assert journey.max_rel() <= 1e-9


def test_bits_of_other_numbers_stay():
    """The sign bit by itself is no matter of zeros."""
    import keras

    x = keras.Input((3,), name="x")
    journey = journeys.of_keras(keras.Model(x, keras.ops.signbit(x)))
    assert _kinds(journey.model) >= BITS
