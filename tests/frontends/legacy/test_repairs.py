"""Every repair mends what it is there for; what none knows is refused by its name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from foldbn.errors import Unsupported
from foldbn.frontends.legacy.arguments import accepted
from foldbn.frontends.legacy.repairs import REPAIRS, repaired
from foldbn.frontends.legacy.writers import Writer

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
