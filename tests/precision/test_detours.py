"""Graphs of float32 that compute a part of their way in float64."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import foldbn
from foldbn.errors import VerificationFailed


def _saved(folder: Path, before: Callable[[Any, Any], Any], spec: Any = None) -> Path:
    """Save ``before(tf, x) @ kernel * scale + shift`` as a SavedModel."""
    import tensorflow as tf

    spec = spec or tf.TensorSpec((None, 6), tf.float32, name="x")
    module = tf.Module()
    module.kernel = tf.Variable(np.random.default_rng(1).normal(size=(6, 4)).astype(np.float32))

    def call(x: Any) -> dict[str, Any]:
        return {"y": (before(tf, x) @ module.kernel) * [1.0, -2.0, 3.0, 0.5] + [1.0, 2.0, 3.0, 4.0]}

    module.call = tf.function(call, autograph=False)
    tf.saved_model.save(module, folder, module.call.get_concrete_function(spec))
    return folder


def _by_way_of_double(tf: Any, x: Any) -> Any:
    wide = (tf.cast(x, tf.float64) - np.float64(0.1)) / np.float64(0.3)
    return tf.cast(wide, tf.float32)


def _in_a_loop(tf: Any, x: Any) -> Any:
    def body(step: Any, y: Any) -> Any:
        return step + 1, y * np.float64(0.1) + tf.cast(step, tf.float64)

    start = (tf.constant(0), tf.cast(x, tf.float64))
    return tf.cast(tf.while_loop(lambda step, _: step < 3, body, start)[1], tf.float32)


def _masked(tf: Any, x: Any) -> Any:
    mask = np.array([0, 0, 0, -1.79e308, 0, 0])
    return tf.nn.softmax(tf.cast(tf.cast(x, tf.float64) + mask, tf.float32))


DETOURS = {"arithmetic": _by_way_of_double, "a loop": _in_a_loop, "a mask": _masked}


@pytest.mark.parametrize("before", DETOURS.values(), ids=DETOURS)
def test_a_detour_by_way_of_float64(tmp_path, before):
    """A float32 model that computes a step in float64 folds, and gives the same numbers."""
    import onnxruntime
    import tensorflow as tf

    path = _saved(tmp_path / "model", before)
    result = foldbn.convert(path, output_dir=tmp_path / "out", bench=False, to=("onnx",))
    assert result.source.precision == "float32 with float64"
    assert result.summary.kept == 0
    assert result.summary.folded >= 1
    x = np.random.default_rng(2).normal(size=(7, 6)).astype(np.float32)
    wanted = tf.saved_model.load(path).signatures["serving_default"](x=tf.constant(x))["y"]
    session = onnxruntime.InferenceSession(
        result.artifacts[0].path, providers=["CPUExecutionProvider"]
    )
    np.testing.assert_allclose(session.run(None, {"x": x})[0], wanted, rtol=1e-5, atol=2e-5)


def test_a_detour_that_float32_cannot_take(tmp_path):
    """Where float64 tells apart what float32 cannot, real inputs show it: nothing is written."""
    import tensorflow as tf

    def days(tf: Any, x: Any) -> Any:
        return tf.cast((tf.cast(x, tf.float64) - 1.6e9) / 86400.0, tf.float32)

    path = _saved(tmp_path / "model", days, tf.TensorSpec((None, 6), tf.int64, name="x"))
    seconds = 1_600_000_000 + np.random.default_rng(0).integers(0, 10**6, (9, 6))
    np.save(tmp_path / "seconds.npy", seconds)
    with pytest.raises(VerificationFailed, match="outputs differ") as caught:
        foldbn.convert(
            path, output_dir=tmp_path / "out", bench=False, samples=tmp_path / "seconds.npy"
        )
    assert "float64" in caught.value.hint
    assert not (tmp_path / "out").exists()
