"""Stand-ins for weights are told from a model's own numbers."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from foldbn.export import tflite_file
from foldbn.export.stand_ins import with_splats
from foldbn.export.tflite_file import to_tflite
from foldbn.verification.runtimes import load_artifact
from tests.export.saved import frozen


def test_a_one_is_no_stand_in(tmp_path, monkeypatch):
    """A model that reckons with 1.0 is converted once, and computes what it did."""
    rng = np.random.default_rng(0)
    w = rng.normal(size=(64, 40)).astype(np.float32)
    model = frozen(
        tmp_path, lambda x, w: 1.0 - tf.sigmoid(x @ w), {"w": w}, x=("float32", (None, 64))
    )
    fills = []

    def noted(content, light):
        fills.append(fill(content, light))
        return fills[-1]

    fill = tflite_file.fill
    monkeypatch.setattr(tflite_file, "fill", noted)
    content = to_tflite(model)
    assert fills == [content]
    x = rng.normal(size=(1, 64)).astype(np.float32)
    (found,) = load_artifact(content, "one", model.signature).run({"x": x}).values()
    np.testing.assert_allclose(found, 1 / (1 + np.exp(x @ w)), atol=1e-6)


def test_stand_ins_are_no_round_numbers(tmp_path):
    """None is 1, and all differ."""
    weights = {name: np.ones((40, 40), np.float32) for name in "abc"}
    model = frozen(tmp_path, lambda x, a, b, c: x @ a @ b @ c, weights, x=("float32", (None, 40)))
    values = with_splats(model).values
    assert len(values) == 3
    assert 1 not in values
