"""What a mended layer computes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from foldbn.errors import Unsupported
from foldbn.frontends.keras_files import load
from tests.frontends.legacy.files import chain, functional, layer, outputs_of, source, write

RNG = np.random.default_rng(5)
X = RNG.normal(size=(3, 4)).astype(np.float32)


def _normalization(*shape: int) -> tuple[list[tuple[str, Any]], list[np.ndarray]]:
    values = [RNG.normal(size=shape) for _ in range(3)] + [RNG.uniform(0.5, 2, size=shape)]
    values[0].flat[0] = -0.5
    names = ("gamma", "beta", "moving_mean", "moving_variance")
    return [(f"bn/{n}:0", v) for n, v in zip(names, values, strict=True)], values


def _normalized(x, values, epsilon):
    gamma, beta, mean, variance = values
    return (x - mean) / np.sqrt(variance + epsilon) * gamma + beta


def test_batch_normalization_over_several_axes_computes_the_formula(tmp_path):
    """Parameters have the shape [1, T, C]."""
    stored, values = _normalization(1, 3, 2)
    model = chain(
        source("x", 3, 2), layer("BatchNormalization", "bn", "x", axis=[1, 2], epsilon=0.01)
    )
    x = RNG.normal(size=(4, 3, 2))
    (found,) = outputs_of(tmp_path / "m.h5", model, {"bn": stored}, x)
    np.testing.assert_allclose(found, _normalized(x, values, 0.01), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("rank", "raised"), [(2, False), (4, True)])
def test_a_small_epsilon_is_raised_on_images_only(tmp_path, rank, raised):
    """With a variance as small as epsilon, it decides the output."""
    stored, values = _normalization(2)
    values[3][:] = 1e-6
    config = {"axis": [rank - 1], "epsilon": 1e-7}
    shape = [3] * (rank - 2) + [2]
    model = chain(source("x", *shape), layer("BatchNormalization", "bn", "x", **config))
    x = RNG.normal(size=(4, *shape))
    (found,) = outputs_of(tmp_path / "m.h5", model, {"bn": stored}, x)
    truth = _normalized(x, values, 1.001e-5 if raised else 1e-7)
    np.testing.assert_allclose(found, truth, rtol=1e-4, atol=1e-3)


def test_virtual_batches_are_flattened(tmp_path):
    """The parameters have the shape [1, C] then."""
    stored, values = _normalization(1, 4)
    model = chain(
        source("x", 4),
        layer("BatchNormalization", "bn", "x", axis=[2], epsilon=0.01, virtual_batch_size=2),
    )
    (found,) = outputs_of(tmp_path / "m.h5", model, {"bn": stored}, X)
    np.testing.assert_allclose(found, _normalized(X, values, 0.01), rtol=1e-5, atol=1e-5)


def test_bilinear_upsampling_is_anchored_at_the_corner(tmp_path):
    """Output i of stand-alone Keras samples the input at i / 2, beyond the end the last one."""
    config = {"size": [2, 1], "interpolation": "bilinear", "data_format": "channels_last"}
    model = chain(source("x", 2, 1, 1), layer("UpSampling2D", "up", "x", **config))
    x = np.array([0.0, 1.0]).reshape(1, 2, 1, 1)
    (old,) = outputs_of(tmp_path / "a.h5", model, None, x, version="2.3.1")
    (new,) = outputs_of(tmp_path / "b.h5", model, None, x, version="2.4.0")
    np.testing.assert_allclose(old.ravel(), [0, 0.5, 1, 1])
    np.testing.assert_allclose(new.ravel(), [0, 0.25, 0.75, 1])


@pytest.mark.parametrize("version", ["2.2.4", "2.2.4-tf", "2.15.0"])
def test_hard_sigmoid_has_its_old_formula(tmp_path, version):
    """Also as the recurrent activation inside a wrapper, where it was the default."""
    model = chain(source("x", 4), layer("Activation", "a", "x", activation="hard_sigmoid"))
    (found,) = outputs_of(tmp_path / "m.h5", model, None, X * 3, version=version)
    np.testing.assert_allclose(found, np.clip(0.2 * X * 3 + 0.5, 0, 1), atol=1e-6)


@pytest.mark.parametrize("mode", ["Dense", "Activation"])
def test_a_layer_as_activation_is_applied(tmp_path, mode):
    """``activation=LeakyReLU(alpha=0.1)`` is stored as a whole layer."""
    leaky = {"class_name": "LeakyReLU", "config": {"name": "leaky", "alpha": 0.1}}
    extra = {"units": 4, "use_bias": False} if mode == "Dense" else {}
    model = chain(source("x", 4), layer(mode, "a", "x", activation=leaky, **extra))
    weights = {"a": [("a/kernel:0", np.eye(4))]} if mode == "Dense" else None
    (found,) = outputs_of(tmp_path / "m.h5", model, weights, X)
    np.testing.assert_allclose(found, np.where(X > 0, X, 0.1 * X), atol=1e-6)


@pytest.mark.parametrize(
    "stored",
    ["softmax_v2", {"class_name": "function", "config": "softmax", "registered_name": None}],
)
def test_a_renamed_activation_is_found(tmp_path, stored):
    """tf.nn.softmax is stored as softmax_v2."""
    model = chain(source("x", 4), layer("Activation", "a", "x", activation=stored))
    (found,) = outputs_of(tmp_path / "m.h5", model, None, X)
    truth = np.exp(X) / np.exp(X).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found, truth, atol=1e-6)


@pytest.mark.parametrize("name", ["my_own", "get", "deserialize", "keras"])
def test_an_unknown_activation_is_refused_by_name(tmp_path, name):
    """Only functions of keras.activations and the user's are taken."""
    path = write(
        tmp_path / "m.h5",
        chain(source("x", 4), layer("Activation", "a", "x", activation=name)),
    )
    with pytest.raises(Unsupported, match=name) as caught:
        load(path, "keras-h5")
    assert "--custom-objects" in caught.value.hint


@pytest.mark.parametrize(("version", "first"), [("2.3.1", 7.0), ("2.4.0", 0.0)])
def test_bidirectional_repeats_its_output_at_masked_steps_in_stand_alone_keras(
    tmp_path, version, first
):
    """Going back from the last step, the first one is masked: its output is that before."""
    rnn = {"class_name": "SimpleRNN", "config": {
        "name": "rnn", "units": 1, "activation": "linear", "use_bias": False,
        "return_sequences": True,
    }}  # fmt: skip
    model = chain(
        source("x", 2, 1),
        layer("Masking", "m", "x", mask_value=0.0),
        layer("Bidirectional", "both", "m", layer=rnn, merge_mode="sum"),
    )
    names = [f"both/{way}_rnn/{kind}:0" for way in ("forward", "backward")
             for kind in ("kernel", "recurrent_kernel")]  # fmt: skip
    weights = {"both": [(name, [[float("recurrent" not in name)]]) for name in names]}
    x = np.array([0.0, 7.0]).reshape(1, 2, 1)
    (found,) = outputs_of(tmp_path / "m.h5", model, weights, x, version=version)
    np.testing.assert_allclose(found.ravel(), [first, 14.0])


def test_merged_layers_are_masked_where_both_are_valid(tmp_path):
    """The mean over time that follows leaves out a step that either input masks."""
    layers = [
        source("a", 3, 1),
        source("b", 3, 1),
        layer("Masking", "ma", "a", mask_value=0.0),
        layer("Masking", "mb", "b", mask_value=0.0),
        layer("Add", "add", "ma", "mb"),
        layer("GlobalAveragePooling1D", "mean", "add", data_format="channels_last"),
    ]
    model = functional(layers, [["a", 0, 0], ["b", 0, 0]], [["mean", 0, 0]])
    a, b = np.array([[1, 2, 0]]).reshape(1, 3, 1), np.array([[0, 20, 30]]).reshape(1, 3, 1)
    (found,) = outputs_of(tmp_path / "m.h5", model, None, a, b)
    np.testing.assert_allclose(found.ravel(), [22])
