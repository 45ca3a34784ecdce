"""Sums of thousands of terms: right files pass with a margin, and wrong ones do not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest

from foldbn import export, verification
from foldbn.frontends.freezing import freeze
from foldbn.frontends.frozen import Layers
from foldbn.frontends.precision import widen
from foldbn.verification.long_sums import _long_sums, with_rounded_sums
from foldbn.verification.reference import Evaluator
from tests import journeys
from tests.journeys import Journey, randomise
from tests.verification.faults import FAULTS, kernels_of
from tests.verification.test_edited_files import EDITORS


def _stack(shape: tuple[int, ...], *layers: Any) -> Any:
    import keras

    return keras.Sequential([keras.Input(shape), *layers])


def _mlp() -> Any:
    """Return a Dense of a whole image: 49,152 terms."""
    from keras import layers as of

    first = [of.Rescaling(1 / 255), of.Flatten(), of.Dense(16, activation="tanh")]
    return _stack((128, 128, 3), *first, of.BatchNormalization(), of.Dense(4))


def _after_convolution() -> Any:
    """Return a Dense of all that a convolution gives: 131,072 terms."""
    from keras import layers as of

    first = [of.Conv2D(32, 3, activation="tanh", padding="same"), of.BatchNormalization()]
    return _stack((64, 64, 3), *first, of.Flatten(), of.Dense(4))


def _volume() -> Any:
    """Return means of 384 terms, whose rounding an epsilon of 1e-3 amplifies 30-fold."""
    from keras import layers as of

    return _stack((6, 8, 8, 2), of.GroupNormalization(2), of.Dense(5), of.BatchNormalization())


def _plane() -> Any:
    """Return means of 32,768 terms."""
    from keras import layers as of

    first = [of.GroupNormalization(4), of.Conv2D(2, 3), of.BatchNormalization()]
    return _stack((128, 128, 8), *first, of.ReLU())


class Exported(NamedTuple):
    """A network, what it computes, and its file."""

    journey: Journey
    references: list[verification.Reference]
    kind: str
    content: bytes

    def verdict(self, content: bytes) -> Any:
        """Return the verdict on a file."""
        return verification.verify_artifact(self.references, content, f"model.{self.kind}")


MODELS = {make.__name__.strip("_"): make for make in (_mlp, _after_convolution, _volume, _plane)}


@pytest.fixture(scope="module", params=MODELS.values(), ids=MODELS)
def network(request) -> tuple[Journey, list[verification.Reference]]:
    """Return a network, folded, and what it computes."""
    import keras

    keras.utils.set_random_seed(0)
    journey = journeys.of_keras(randomise(request.param()))
    return journey, journey.references()


@pytest.fixture(scope="module", params=["onnx", "tflite"])
def exported(request, network) -> Exported:
    """Return a network's file."""
    journey, references = network
    content = export.export(journey.model, request.param, None, export.DEFAULT_OPSET)
    return Exported(journey, references, request.param, content)


def test_right_files_pass(exported):
    """A file whose runtime adds up one term after the other is no wrong file."""
    verdict = exported.verdict(exported.content)
    assert verdict.passed, verdict
    assert verdict.error < verdict.tolerance / 2


@pytest.mark.parametrize("alter", FAULTS.values(), ids=FAULTS)
def test_wrong_files_do_not(exported, alter):
    """What is allowed for long sums hides no fault in the weights."""
    model = exported.journey.model
    kernels = kernels_of(model)
    assert kernels
    for name, kernel in kernels.items():
        if name in model.stubs():
            wrong = replace(model, values=model.values | {name: alter(kernel)})
            altered = export.export(wrong, exported.kind, None, export.DEFAULT_OPSET)
        else:
            altered = EDITORS[exported.kind](exported.content, kernel, alter)
        assert not exported.verdict(altered).passed, name


def _attention(tf: Any, x: Any) -> Any:
    return tf.einsum("...ij,...kj->...ik", x, tf.ones((3, 2000), tf.float64))


def _own_product(tf: Any, x: Any) -> Any:
    column = tf.transpose(x, (0, 2, 1))
    return tf.matmul(column, column, transpose_a=True)


def _transposed(tf: Any, x: Any) -> Any:
    kernel = tf.ones((3, 3, 2, 200), tf.float64)
    image = tf.reshape(x, (2, 1, 10, 200))
    return tf.nn.conv2d_transpose(image, kernel, (2, 1, 10, 2), 1)


SUMS = {
    "MatMul": (lambda tf, x: tf.matmul(x[:, 0], tf.ones((2000, 3), tf.float64)), 2000),
    "transposed": (_own_product, 2000),
    "Einsum": (_attention, 2000),
    "Conv2D": (
        lambda tf, x: tf.nn.conv1d(x, tf.ones((1, 2000, 3), tf.float64), 1, "VALID"),
        2000,
    ),
    "Conv2DBackpropInput": (_transposed, 1800),
    "Softmax": (lambda tf, x: tf.nn.softmax(x), 2000),
    "Mean": (lambda tf, x: tf.reduce_mean(x, (1, -1)), 2000),
    "Sum": (lambda tf, x: tf.reduce_sum(x, 2, keepdims=True), 2000),
    "bias": (lambda tf, x: tf.matmul(x[:, 0], tf.ones((2000, 3), tf.float64)) + 3.0, 2000),
    "short": (lambda tf, x: tf.reduce_mean(tf.nn.softmax(x[:, :, :500]), 1), None),
}


@pytest.mark.parametrize(("call", "terms"), SUMS.values(), ids=SUMS)
def test_lengths(call, terms):
    """How many terms a sum has is known from shapes, and it is rounded as they say."""
    import tensorflow as tf

    function = tf.function(lambda x: call(tf, x), autograph=False)
    spec = tf.TensorSpec((None, None, 2000), tf.float64, name="x")
    model = freeze(function.get_concrete_function(spec), ["x"], ["y"], Layers())
    samples = {"x": np.random.default_rng(0).uniform(0.1, 1, (2, 1, 2000))}
    sums = _long_sums(model, samples)
    assert {each.terms for each in sums.values()} == ({terms} if terms else set())
    rounded = with_rounded_sums(model, samples)
    if terms is None:
        assert rounded is None
        return
    exact, rough = (Evaluator(each)(samples)["y"] for each in (model, rounded))
    off = np.abs(rough / exact - 1)
    assert 0.2 < off.max() / (np.sqrt(terms) * 2**-24) < 2


@pytest.mark.parametrize("file", ["bn_axis_last.h5", "bn_axis_1.h5"])
def test_networks_without_long_sums(networks, file):
    """Nothing is allowed to a network all of whose sums are short."""
    journey = journeys.of_file(networks / file)
    original = journey.loaded.single
    assert with_rounded_sums(widen(original), journey.references()[0].samples) is None
