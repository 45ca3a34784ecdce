"""Layers of volumes that TFLite has no op for."""

from __future__ import annotations

import numpy as np
import pytest

from foldbn.export import to_tflite
from foldbn.verification.reference import Evaluator
from foldbn.verification.runtimes import load_artifact
from tests import journeys
from tests.hard_cases.proving import stack

LAST, FIRST = (7, 6, 5, 2), (2, 7, 6, 5)
DILATED = {
    "same": (LAST, {"padding": "same", "dilation_rate": (3, 1, 2)}),
    "valid": (LAST, {"padding": "valid", "dilation_rate": 2}),
    "of one axis": (LAST, {"padding": "same", "dilation_rate": (2, 1, 1)}),
    "channels first": (FIRST, {"dilation_rate": (1, 2, 3), "data_format": "channels_first"}),
    "open lengths": ((None, 6, None, 2), {"padding": "same", "dilation_rate": (2, 1, 3)}),
    "in groups": (LAST, {"dilation_rate": 2, "groups": 2}),
}


def _check(model, batch):
    """Hold a model in TFLite against itself in TensorFlow."""
    name, shape = model.inputs[0].name, model.inputs[0].shape[1:]
    x = np.random.default_rng(0).normal(size=(3, *(n or 7 for n in shape))).astype(np.float32)
    (found,) = load_artifact(to_tflite(model, batch_size=batch), "", "").run({name: x}).values()
    (wanted,) = Evaluator(model)({name: x}).values()
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("batch", [1, 3, None])
@pytest.mark.parametrize("case", DILATED)
def test_dilated_convolution(case, batch):
    """Its grids are parted axis by axis, in the order that TensorFlow has them in."""
    import keras

    shape, options = DILATED[case]
    _check(journeys.of_keras(stack(shape, keras.layers.Conv3D(4, 2, **options))).model, batch)


@pytest.mark.parametrize("batch", [1, None])
def test_slopes_of_channels(batch):
    """A PReLU with a slope for each channel, or for each voxel."""
    import keras

    layers = keras.layers
    slopes = {"alpha_initializer": keras.initializers.RandomNormal(seed=1)}
    parts = [
        layers.PReLU(shared_axes=[1, 2, 3], **slopes),
        layers.Conv3D(3, 2),
        layers.PReLU(**slopes),
    ]
    _check(journeys.of_keras(stack(LAST, *parts)).model, batch)
