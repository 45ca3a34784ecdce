"""Hard cases 11 and 12: weights that are no numbers, variances near zero, means far from it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import foldbn
from foldbn.errors import BadWeights, ConversionFailed, VerificationFailed
from tests.hard_cases.proving import outcomes, prove, stack


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize(
    ("weight", "value"),
    [
        ("gamma", np.nan),
        ("gamma", np.inf),
        ("beta", np.inf),
        ("moving_mean", -np.inf),
        ("moving_variance", np.nan),
        ("moving_variance", np.inf),
        ("moving_variance", -1.0),
        ("moving_variance", -1e-3),
    ],
)
def test_11_bad_weights(tmp_path, suffix, weight, value):
    """NaN, infinity, and a variance without a square root are errors that name the layer."""
    import keras

    norm = keras.layers.BatchNormalization(name="the_bad_one")
    model = stack((4,), keras.layers.Dense(3), norm, keras.layers.Dense(2))
    weights = np.ones(3)
    weights[1] = value
    getattr(norm, weight).assign(weights)
    path = tmp_path / f"model{suffix}"
    model.save(path)
    with pytest.raises(BadWeights, match="'the_bad_one'") as caught:
        foldbn.inspect(path)
    assert caught.value.exit_code == 3
    stored = {True: "its weights hold NaN", False: "its weights hold infinity"}
    told = "what is computed" if np.isfinite(value) else stored[bool(np.isnan(value))]
    assert told in caught.value.message
    assert ("no square root" in caught.value.hint) == bool(np.isfinite(value))


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("weight", ["kernel", "bias"])
@pytest.mark.parametrize("kind", ["Dense", "Conv2D"])
def test_11_bad_weights_of_other_layers(tmp_path, kind, weight, value):
    """A layer that is no normalization is named as well, wherever it stands."""
    import keras

    layers = keras.layers
    arguments = {"Dense": {"units": 3}, "Conv2D": {"filters": 3, "kernel_size": 2}}[kind]
    bad = getattr(layers, kind)(**arguments, name="the_bad_one")
    model = stack((4, 4, 2), layers.BatchNormalization(), layers.Activation("tanh"), bad)
    weights = np.ones(getattr(bad, weight).shape)
    weights.flat[-1] = value
    getattr(bad, weight).assign(weights)
    model.save(tmp_path / "model.keras")
    with pytest.raises(BadWeights, match="'the_bad_one'") as caught:
        foldbn.inspect(tmp_path / "model.keras")
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("epsilon", [1e-3, 1e-7, 1e-12])
def test_11_zero_variance(tmp_path, epsilon):
    """A variance of zero is fine as long as epsilon is not."""
    import keras

    norm = keras.layers.BatchNormalization(name="bn", epsilon=epsilon)
    model = stack((4,), keras.layers.Dense(3), norm, keras.layers.Activation("tanh"))
    norm.moving_variance.assign(np.zeros(3))
    assert outcomes(prove(model, tmp_path)) == {"bn": "folded"}


@pytest.mark.parametrize("before", [True, False], ids=["dense, norm", "norm, dense"])
def test_12_mean_far_above_deviation(tmp_path, before):
    """With a mean of a million deviations the folded file passes: it rounds better."""
    import keras

    norm = keras.layers.BatchNormalization(name="bn", epsilon=1e-5)
    dense = keras.layers.Dense(3)
    model = stack((4,), *((dense, norm) if before else (norm, dense)), scales="positive")
    norm.moving_mean.assign(np.full(norm.moving_mean.shape, 1e6))
    norm.moving_variance.assign(np.full(norm.moving_mean.shape, 1e-2))
    assert outcomes(prove(model, tmp_path)) == {"bn": "folded"}


def _with_gamma(tmp_path: Path, kernel: float) -> Path:
    """Save a model of a scale of 1e38 on differences of the inputs, or of them times a number."""
    import keras

    norm = keras.layers.BatchNormalization(name="bn")
    model = stack((2,), keras.layers.Dense(1, use_bias=False), norm, scales="positive")
    model.layers[0].kernel.assign([[kernel], [-kernel]])
    norm.gamma.assign([1e38])
    model.save(tmp_path / "model.keras")
    return tmp_path / "model.keras"


def test_11_overflow_of_outputs(tmp_path):
    """Products that overflow where the original's sum did not are told as just that."""
    samples = tmp_path / "same.npy"
    np.save(samples, np.full((3, 2), 1e4, np.float32))
    with pytest.raises(
        VerificationFailed, match=r"overflows: .* float32 ends at 3\.4e\+38"
    ) as caught:
        foldbn.convert(
            _with_gamma(tmp_path, 1.0), output_dir=tmp_path / "o", samples=samples, bench=False
        )
    assert "report it" not in caught.value.hint
    assert "gamma" in caught.value.hint


def test_11_overflow_of_weights(tmp_path):
    """A folded weight that float32 does not hold is told with what may be the cause."""
    with pytest.raises(ConversionFailed, match="more than float32 holds") as caught:
        foldbn.inspect(_with_gamma(tmp_path, 1e3))
    assert "gamma" in caught.value.hint
