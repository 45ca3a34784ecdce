"""What depends on chance or on earlier calls is refused; what only looks like it is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foldbn.errors import Unsupported
from foldbn.frontends import loading
from foldbn.verification.reference import Evaluator

X = np.ones((2, 4, 4, 3), np.float32)


def _save(path: Path, layers: dict[str, Any], call: Any) -> Path:
    """Save ``call(tf, layers, x)`` on images [4, 4, 3] as a SavedModel, and layers with it."""
    import tensorflow as tf

    module = tf.Module()
    for name, value in layers.items():
        setattr(module, name, value)

    def within(x: Any) -> dict[str, Any]:
        with tf.name_scope("model"):
            return {"y": call(tf, module, x)}

    function = tf.function(
        within,
        input_signature=[tf.TensorSpec((None, 4, 4, 3), name="x")],
        autograph=False,
    )
    module.call = function
    # The endpoint of model.export() tells that the scopes are those of Keras 3.
    signatures = {"serving_default": function, "serve": function}
    tf.saved_model.save(module, str(path), signatures=signatures)
    return path


def _flip(tmp_path: Path) -> Path:
    """Save a RandomFlip that is left on, as `model.export` of Keras 3 does."""
    import keras

    flip = keras.layers.RandomFlip(name="random_flip", seed=1)
    # A module does not find the state of the seed by itself.
    layers = {"flip": flip, "seed": flip.generator.state.value}
    return _save(tmp_path / "m", layers, lambda _tf, m, x: m.flip(x, training=True) * 2.0)


def _dropout(tmp_path: Path) -> Path:
    import keras

    dropout = keras.layers.Dropout(0.5, name="dropout", seed=1)
    layers = {"drop": dropout, "seed": dropout.seed_generator.state.value}
    return _save(tmp_path / "m", layers, lambda _tf, m, x: m.drop(x, training=True))


def _noise(tmp_path: Path) -> Path:
    return _save(tmp_path / "m", {}, lambda tf, _m, x: x + tf.random.normal(tf.shape(x)))


def _noise_in_a_loop(tmp_path: Path) -> Path:
    def call(tf: Any, _module: Any, x: Any) -> Any:
        def step(i: Any, y: Any) -> Any:
            return i + 1, y + tf.random.uniform(tf.shape(y))

        return tf.while_loop(lambda i, _: i < 2, step, (0, x))[1]

    return _save(tmp_path / "m", {}, call)


CHANCE = {
    "RandomFlip": (_flip, "layer 'random_flip' draws random numbers"),
    "Dropout": (_dropout, "layer 'dropout' draws random numbers"),
    "noise": (_noise, "draws random numbers .RandomStandardNormal"),
    "noise in a loop": (_noise_in_a_loop, "draws random numbers"),
}


@pytest.mark.parametrize(("build", "words"), CHANCE.values(), ids=CHANCE)
def test_chance(tmp_path, build, words):
    """A random number that reaches an output is refused by its layer, seeded or not."""
    with pytest.raises(Unsupported, match=words) as caught:
        loading.load(build(tmp_path))
    assert caught.value.exit_code == 3
    assert "without" in caught.value.hint


def test_augmentation_of_keras_3(tmp_path):
    """An export with augmentation left on is refused, and the file that the hint names is taken."""
    import keras

    layers = keras.layers
    model = keras.Sequential(
        [layers.Input((4, 4, 3)), layers.RandomFlip(name="flip"), layers.Conv2D(2, 3)]
    )
    model.export(tmp_path / "m", verbose=False)
    model.save(tmp_path / "m.keras")
    with pytest.raises(Unsupported, match="layer 'flip' draws random numbers") as caught:
        loading.load(tmp_path / "m")
    assert "give foldbn the .keras file" in caught.value.hint
    loading.load(tmp_path / "m.keras")


def test_counter(tmp_path):
    """A variable that each call changes and reads is a state, and the variable is named."""
    import tensorflow as tf

    def call(_tf: Any, module: Any, x: Any) -> Any:
        return x * module.count.assign_add(1.0)

    path = _save(tmp_path / "m", {"count": tf.Variable(0.0, name="count")}, call)
    with pytest.raises(Unsupported, match="keeps a state: a call changes the variable 'count'"):
        loading.load(path)


def test_statistics_that_nobody_reads(tmp_path):
    """A variable that a call changes and no output depends on does no harm."""
    import tensorflow as tf

    def call(tf: Any, module: Any, x: Any) -> Any:
        module.seen.assign_add(tf.reduce_mean(x))
        return x * module.scale

    variables = {"seen": tf.Variable(0.0, name="seen"), "scale": tf.Variable(2.0, name="scale")}
    frozen = loading.load(_save(tmp_path / "m", variables, call)).original
    np.testing.assert_allclose(Evaluator(frozen)({"x": X})["y"], 2 * X)


def test_fixed_seed(tmp_path):
    """A projection drawn from a constant seed is the same in every call: a constant like others."""

    def call(tf: Any, _module: Any, x: Any) -> Any:
        return x @ tf.random.stateless_normal([3, 3], seed=[1, 2])

    frozen = loading.load(_save(tmp_path / "m", {}, call)).original
    found = Evaluator(frozen)({"x": X})["y"]
    np.testing.assert_array_equal(found, Evaluator(frozen)({"x": X})["y"])
    assert np.ptp(found) > 0


def test_dropout_at_inference(tmp_path):
    """A dropout that is off leaves nothing behind."""
    import keras

    dropout = keras.layers.Dropout(0.5, name="dropout", seed=1)
    path = _save(tmp_path / "m", {"drop": dropout}, lambda _tf, m, x: m.drop(x, training=False))
    np.testing.assert_array_equal(Evaluator(loading.load(path).original)({"x": X})["y"], X)


def test_a_table_is_named(tmp_path):
    """A layer that looks up a table is told as such: no exported format has an op for that."""
    import keras

    x = keras.Input((3,), dtype="int64")
    looked_up = keras.layers.IntegerLookup(vocabulary=[1, 2, 7], name="lookup")(x)
    path = tmp_path / "m.keras"
    keras.Model(x, keras.layers.Embedding(4, 2)(looked_up)).save(path)
    with pytest.raises(Unsupported, match=r"^layer 'lookup' looks up a table") as caught:
        loading.load(path)
    assert caught.value.hint
