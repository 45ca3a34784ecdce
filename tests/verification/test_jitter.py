"""Outputs of thousands of channels with few numbers each: right files pass, wrong ones do not."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import foldbn


@pytest.fixture(scope="module")
def pooled(tmp_path_factory):
    """Return paths of flattened features, few of them above zero, and of its ONNX file."""
    import keras
    from keras import layers

    path = tmp_path_factory.mktemp("features") / "m.keras"
    image, mix = keras.Input((16, 16, 256)), layers.Conv2D(256, 1)
    model = keras.Model(
        image, layers.Flatten()(layers.ReLU()(layers.AveragePooling2D(2)(mix(image))))
    )
    rng = np.random.default_rng(3)
    mix.set_weights([rng.normal(0, 0.4, weight.shape) for weight in mix.get_weights()])
    model.save(path)
    result = foldbn.convert(path, bench=False, to=("onnx",))
    return path, result.artifacts[0].path


def test_the_luck_of_a_channel_is_no_yardstick(pooled):
    """Of 16,384 channels the original is all but exact in some, where it has one number above 0."""
    path, file = pooled
    assert foldbn.verify(path, [file]).passed


def test_one_wrong_channel_is_found(pooled, tmp_path):
    """A channel that is 1e-4 off is told, though the output as a whole is well."""
    path, file = pooled
    proto = onnx.load(file)
    (bias,) = (each for each in proto.graph.initializer if list(each.dims) == [256])
    values = numpy_helper.to_array(bias).copy()
    values[7] += 1e-4
    bias.CopyFrom(numpy_helper.from_array(values, bias.name))
    onnx.save(proto, tmp_path / "wrong.onnx")
    (verdict,) = foldbn.verify(path, [tmp_path / "wrong.onnx"]).artifacts
    assert not verdict.verification.passed
    assert verdict.verification.channel % 256 == 7
