"""Hard cases 16 and 17: kernels of every layout, normalization over every axis."""

from __future__ import annotations

import numpy as np
import pytest

import foldbn
from foldbn.frontends import loading
from foldbn.verification.reference import Evaluator
from tests.hard_cases.proving import outcomes, prove, stack

LINEAR = {
    "Conv2DTranspose": {"filters": 5, "kernel_size": 3, "strides": 2},
    "DepthwiseConv2D": {"kernel_size": 3, "depth_multiplier": 2, "padding": "same"},
    "Conv2D": {"filters": 6, "kernel_size": 3, "groups": 2},
    "SeparableConv2D": {"filters": 5, "kernel_size": 3, "depth_multiplier": 2},
}


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("kind", LINEAR)
def test_16_kernels_of_every_layout(tmp_path, kind, bias):
    """Each kind of convolution takes the normalization after it in."""
    import keras

    layers = keras.layers
    conv = getattr(layers, kind)(**LINEAR[kind], use_bias=bias, name="conv")
    head = (layers.BatchNormalization(name="bn"), layers.ReLU(), layers.GlobalAveragePooling2D())
    result = prove(stack((7, 7, 4), conv, *head, layers.Dense(2)), tmp_path)
    assert outcomes(result) == {"bn": "folded"}
    assert result.decisions[0].into == ("conv",)


@pytest.mark.parametrize(
    ("shape", "axis"),
    [((5, 4), 1), ((6, 5, 4), 1), ((6, 5, 4), 2), ((6, 5, 4), -3)],
    ids=str,
)
def test_17_other_axis(tmp_path, shape, axis):
    """A normalization over another axis than the channels folds only where that is right."""
    import keras

    layers = keras.layers
    through = stack(
        shape, layers.BatchNormalization(axis=axis, name="bn"), layers.Flatten(), layers.Dense(3)
    )
    assert outcomes(prove(through, tmp_path)) == {"bn": "folded"}
    beside = stack(
        shape, layers.Dense(3, name="dense"), layers.BatchNormalization(axis=axis, name="bn")
    )
    other = tmp_path / "other"
    other.mkdir()
    assert outcomes(prove(beside, other))["bn"] in ("kept", "lowered")


LISTS = {
    "two axes": ("tf215/g_bn_axis12.savedmodel", "tf215/g_bn_axis12"),
    "a list of one": ("tf24/g_bn_axis1_4d.h5", "tf24/g_bn_axis1_4d"),
    "a list of one, in a SavedModel": ("tf215/g_bn_axis1_4d.savedmodel", "tf215/g_bn_axis1_4d"),
}


@pytest.mark.parametrize(("model", "stem"), LISTS.values(), ids=LISTS)
def test_17_axis_as_a_list(foreign_models, tmp_path, model, stem):
    """A normalization whose axis is a list gives what the framework that wrote it gave."""
    folder = foreign_models / "legacy"
    loaded = loading.load(folder / model)
    inputs, wanted = (np.load(folder / f"{stem}.{part}.npz") for part in ("in", "out"))
    (source,), (target,) = loaded.original.inputs, loaded.original.outputs
    found = Evaluator(loaded.original)({source.name: inputs["x0"]})[target.name]
    np.testing.assert_allclose(found, wanted["y0"], rtol=1e-4, atol=1e-5)
    result = foldbn.convert(folder / model, output_dir=tmp_path, bench=False)
    assert result.verification.algebra.max_rel <= 1e-9
    assert result.summary.affine_layers >= 1
    assert all(artifact.verification.passed for artifact in result.artifacts)
