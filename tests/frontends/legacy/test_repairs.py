"""Every repair mends what it is there for; what none knows is refused by its name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from foldbn.errors import Unsupported
from foldbn.frontends.keras_files import load
from foldbn.frontends.legacy.arguments import accepted
from foldbn.frontends.legacy.repairs import REPAIRS, repaired
from foldbn.frontends.legacy.writers import Writer
from tests.frontends.legacy.files import chain, functional, layer, outputs_of, source, write

RNG = np.random.default_rng(5)
TF24 = Writer((2, 4))
ALONE = Writer((2, 3), stand_alone=True)
X = RNG.normal(size=(3, 4)).astype(np.float32)

Case = tuple[str, dict[str, Any], Writer, dict[str, Any]]

# Repair -> a layer that needs it: class, configuration, writer, and what it becomes.
CASES: dict[str, Case] = {
    "names and arguments of Keras 1": (
        "Dense",
        {"output_dim": 3, "bias": False, "init": "uniform"},
        Writer((1, 2)),
        {"units": 3, "use_bias": False},
    ),
    "classes that were renamed": (
        "BatchNormalizationV1",
        {"axis": 1},
        TF24,
        {"kind": "BatchNormalization", "axis": 1},
    ),
    "initializers, regularizers and constraints matter in training": (
        "Dense",
        {
            "units": 3,
            "kernel_initializer": {"class_name": "VarianceScaling", "config": {"dtype": 1}},
            "bias_constraint": {"class_name": "Gone", "config": {}},
            "activity_regularizer": {"class_name": "Gone", "config": {}},
        },
        TF24,
        {"units": 3},
    ),
    "wrapped numbers, tuples and lists": (
        "ELU",
        {"alpha": {"class_name": "__numpy__", "config": {"value": 0.5, "dtype": "float32"}}},
        TF24,
        {"alpha": 0.5},
    ),
    "dtype as the configuration of a policy": (
        "Dense",
        {"dtype": {"class_name": "Policy", "config": {"name": "mixed_float16"}}},
        TF24,
        {"dtype": "mixed_float16"},
    ),
    "layers that act in training only": (
        "SpatialDropout1D",
        {"name": "drop", "trainable": True, "rate": 0.5, "noise_shape": [1, 2]},
        TF24,
        {"own": "Identity", "name": "drop"},
    ),
    "data_format left to the writer's settings": (
        "Flatten",
        {"data_format": None},
        TF24,
        {"data_format": "channels_last"},
    ),
    "epsilon of the fused kernel": (
        "BatchNormalization",
        {"axis": [3], "epsilon": 1e-7},
        TF24,
        {"axis": 3, "epsilon": 1e-7, "mixin": "FusedEpsilon"},
    ),
    "virtual_batch_size adds an axis": (
        "BatchNormalization",
        {"axis": [4], "virtual_batch_size": 2},
        TF24,
        {"axis": 3},
    ),
    "renorm matters in training": (
        "BatchNormalization",
        {"axis": [1], "renorm": True, "renorm_clipping": {}, "renorm_momentum": 0.9},
        TF24,
        {"axis": 1},
    ),
    "axis as a list": (
        "BatchNormalization",
        {"axis": {"class_name": "__tuple__", "items": [1, 2]}, "momentum": 0.9},
        TF24,
        {"axis": [1, 2], "own": "BatchNormalization over several axes"},
    ),
    "masks of merged layers meet": ("Add", {}, TF24, {"mixin": "MeetingMasks"}),
    "masked steps of Bidirectional": ("Bidirectional", {}, ALONE, {"mixin": "RepeatedOutput"}),
    "alpha is called negative_slope": (
        "LeakyReLU",
        {"alpha": {"type": "ndarray", "value": 0.25}},
        TF24,
        {"negative_slope": 0.25},
    ),
    "ThresholdedReLU went": (
        "ThresholdedReLU",
        {"theta": 0.5},
        TF24,
        {"theta": 0.5, "own": "ThresholdedReLU"},
    ),
    "bilinear UpSampling2D from the corner": (
        "UpSampling2D",
        {"size": [2, 2], "interpolation": "bilinear", "data_format": "channels_last"},
        ALONE,
        {
            "size": [2, 2],
            "data_format": "channels_last",
            "own": "UpSampling2D anchored at the corner",
        },
    ),
    "recurrent layers of cuDNN went": (
        "CuDNNGRU",
        {"units": 2},
        TF24,
        {
            "kind": "GRU",
            "units": 2,
            "activation": "tanh",
            "recurrent_activation": "sigmoid",
            "use_bias": True,
            "reset_after": True,
        },
    ),
    "reset_after was False": ("GRU", {"units": 2}, TF24, {"units": 2, "reset_after": False}),
    "arguments of CategoryEncoding": (
        "CategoryEncoding",
        {"max_tokens": 5, "output_mode": "binary"},
        TF24,
        {"num_tokens": 5, "output_mode": "multi_hot"},
    ),
    "sparse and ragged inputs": (
        "InputLayer",
        {"sparse": False, "ragged": False},
        TF24,
        {"sparse": False, "ragged": False},
    ),
}


def test_every_repair_has_a_case():
    """A repair without a test would be noticed here."""
    assert {repair.name for repair in REPAIRS} == CASES.keys()
    assert len({repair.name for repair in REPAIRS}) == len(REPAIRS)


@pytest.mark.parametrize("name", CASES)
def test_a_layer_is_mended(name):
    """The configuration becomes what Keras 3 takes."""
    kind, config, writer, wanted = CASES[name]
    before = repr(config)
    found = repaired(kind, config, writer)
    wanted = {"kind": kind, "own": None, "mixin": None, **wanted}
    told = {"kind": found.kind, "own": found.own, "mixin": found.mixin, **found.config}
    assert told == wanted
    assert repr(config) == before, "a repair works on a copy"


@pytest.mark.parametrize(
    ("kind", "config", "writer"),
    [
        ("UpSampling2D", {"interpolation": "bilinear"}, TF24),
        ("UpSampling2D", {"interpolation": "nearest"}, ALONE),
        ("BatchNormalization", {"axis": [3], "epsilon": 1e-3}, TF24),
        ("BatchNormalization", {"axis": [3], "epsilon": 1e-7, "renorm": True}, TF24),
        ("BatchNormalization", {"axis": -1, "epsilon": 1e-7}, Writer((1, 2), stand_alone=True)),
        ("Bidirectional", {}, TF24),
    ],
)
def test_a_layer_that_needs_no_layer_of_foldbns_stays_keras_own(kind, config, writer):
    """The formula changed between versions: later ones compute as Keras 3 does."""
    found = repaired(kind, config, writer)
    assert (found.own, found.mixin) == (None, None)


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        ("DepthwiseConv2D", "groups", 2),
        ("Conv2DTranspose", "groups", 2),
        ("LSTM", "time_major", True),
        ("Dense", "causal", True),
        ("Attention", "causal", True),
        ("BatchNormalization", "adjustment", "f"),
        ("Dense", "never_heard_of", 0),
    ],
)
def test_an_argument_that_is_not_neutral_is_refused_by_name(kind, name, value):
    """Nothing that could matter is dropped."""
    import keras

    found = getattr(keras.layers, kind)
    with pytest.raises(Unsupported, match=f"'it'.*{kind}.*{name}={value!r}"):
        accepted(found, {"name": "it", name: value})


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("DepthwiseConv2D", {"groups": 1, "kernel_size": 3}),
        ("SeparableConv2D", {"groups": 1}),
        ("LSTM", {"time_major": False, "implementation": 2, "zero_output_for_mask": True}),
        ("MultiHeadAttention", {"query_shape": [None, 3], "key_shape": None, "value_shape": None}),
        ("SpatialDropout1D", {"trainable": False}),
        ("Dense", {"never_heard_of": None}),
    ],
)
def test_an_argument_that_means_nothing_is_dropped(kind, config):
    """What is left, the class takes."""
    import inspect

    import keras

    left = accepted(getattr(keras.layers, kind), config)
    assert left.keys() <= config.keys() & {"kernel_size", "zero_output_for_mask"}
    inspect.signature(getattr(keras.layers, kind)).bind_partial(**left)


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
