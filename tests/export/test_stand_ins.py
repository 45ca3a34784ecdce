"""Stand-ins for weights are told from a model's own numbers."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from foldbn.export import tflite_file
from foldbn.export.stand_ins import with_splats
from foldbn.export.tflite_file import to_tflite
from foldbn.verification.runtimes import load_artifact
from tests.export.saved import frozen


@pytest.fixture
def fills(monkeypatch):
    """Return what became of each attempt to put the weights in, None where it was given up."""
    fills = []

    def noted(content, light):
        fills.append(fill(content, light))
        return fills[-1]

    fill = tflite_file.fill
    monkeypatch.setattr(tflite_file, "fill", noted)
    return fills


def _run(model, x):
    """Return the TFLite file of a model of one input, and what it computes."""
    content = to_tflite(model)
    (found,) = load_artifact(content, "one", model.signature).run({"x": x}).values()
    return content, found


def test_a_one_is_no_stand_in(tmp_path, fills):
    """A model that reckons with 1.0 is converted once, and computes what it did."""
    rng = np.random.default_rng(0)
    w = rng.normal(size=(64, 40)).astype(np.float32)
    model = frozen(
        tmp_path, lambda x, w: 1.0 - tf.sigmoid(x @ w), {"w": w}, x=("float32", (None, 64))
    )
    x = rng.normal(size=(1, 64)).astype(np.float32)
    content, found = _run(model, x)
    assert fills == [content]
    np.testing.assert_allclose(found, 1 / (1 + np.exp(x @ w)), atol=1e-6)


@pytest.mark.parametrize(("size", "computed"), [(0, False), (1e-3, True), (1, True)])
def test_what_the_converter_computes_of_a_stand_in_is_noticed(tmp_path, fills, size, computed):
    """It multiplies the bias of a product with the kernel of the next one."""
    rng = np.random.default_rng(0)
    first, second = (rng.normal(size=shape).astype(np.float32) for shape in ((64, 40), (40, 50)))
    bias = (size * rng.normal(size=40)).astype(np.float32)
    model = frozen(
        tmp_path,
        lambda x, a, b: (x @ a + bias) @ b + 1.5,
        {"a": first, "b": second},
        x=("float32", (None, 64)),
    )
    x = rng.normal(size=(1, 64)).astype(np.float32)
    _, found = _run(model, x)
    assert [fill is None for fill in fills] == [computed]
    np.testing.assert_allclose(found, (x @ first + bias) @ second + 1.5, rtol=1e-4, atol=1e-4)


def test_great_numbers_of_the_model_are_no_stand_ins(tmp_path, fills):
    """A mask may be as great as what is computed of a stand-in."""
    w = np.random.default_rng(0).normal(size=(64, 40)).astype(np.float32)
    model = frozen(
        tmp_path,
        lambda x, w: tf.where(x @ w > 0, x @ w, np.float32(-3e38)),
        {"w": w},
        x=("float32", (None, 64)),
    )
    x = np.ones((1, 64), np.float32)
    content, found = _run(model, x)
    assert fills == [content]
    np.testing.assert_allclose(found, np.where(x @ w > 0, x @ w, np.float32(-3e38)), rtol=1e-5)


def test_stand_ins_are_no_round_numbers(tmp_path):
    """None is 1, and all differ."""
    weights = {name: np.ones((40, 40), np.float32) for name in "abc"}
    model = frozen(tmp_path, lambda x, a, b, c: x @ a @ b @ c, weights, x=("float32", (None, 40)))
    values = with_splats(model).values
    assert len(values) == 3
    assert 1 not in values
