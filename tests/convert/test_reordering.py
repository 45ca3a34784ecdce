"""Convolutions of real files that go past a pooling or a resizing."""

from __future__ import annotations

import onnx
import pytest

from foldbn.results import Conversion
from tests.convert.untimed import convert
from tests.journeys import randomise


@pytest.fixture(scope="module")
def result(tmp_path_factory) -> Conversion:
    """Return a conversion to all formats of convolutions before poolings and after a resizing."""
    import keras
    from keras import layers

    image, sound = keras.Input((None, 9, 32), name="image"), keras.Input((18, 32), name="sound")
    volume = keras.Input((4, 5, 6, 24), name="volume")
    x = layers.ReLU()(layers.BatchNormalization()(layers.Activation("sigmoid")(image)))
    x = layers.AveragePooling2D(2)(layers.Conv2D(24, 1, use_bias=False, name="flat")(x))
    x = layers.AveragePooling2D(3, 2, padding="same")(layers.Conv2D(24, 1, name="same")(x))
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(layers.BatchNormalization()(x)))
    y = layers.Conv1D(32, 1, dilation_rate=2, name="grid")(sound)  # its nodes know the length
    y = layers.ReLU()(layers.AveragePooling1D(2)(y))
    y = layers.AveragePooling1D(2, padding="same")(layers.Conv1D(24, 1, name="line")(y))
    y = layers.ReLU()(layers.Reshape((1, 5, 24))(layers.BatchNormalization()(y)))
    y = layers.UpSampling2D((2, 3), interpolation="bilinear")(y)
    y = layers.Flatten()(layers.ReLU()(layers.Conv2D(16, 1, name="large")(y)))
    z = layers.AveragePooling3D(2)(layers.Conv3D(20, 1, name="deep")(layers.ReLU()(volume)))
    ends = [layers.Dense(3, name=name)(each) for name, each in (("a", x), ("b", y))]
    model = keras.Model([image, sound, volume], [*ends, layers.Flatten(name="c")(z)])
    folder = tmp_path_factory.mktemp("moved")
    randomise(model).save(folder / "moved.keras")
    return convert(folder / "moved.keras", folder, to=("onnx", "tflite", "savedmodel"))


def test_moved(result):
    """Each is told, and the files are the original still."""
    assert set(result.reordered) == {"flat", "same", "line", "large", "deep"}
    assert result.verification.algebra.max_rel < 1e-13
    assert [artifact.verification.passed for artifact in result.artifacts] == [True] * 3


def test_order_in_the_file(result):
    """One pooling still reads a convolution, the dilated one, and the resizing reads another."""
    nodes = onnx.load(result.artifacts[0].path).graph.node
    writers = {name: node.op_type for node in nodes for name in node.output}
    read = [(node.op_type, writers.get(node.input[0])) for node in nodes]
    assert [source for kind, source in read if kind == "AveragePool"].count("Conv") == 1
    assert len([kind for kind, _ in read if kind == "AveragePool"]) == 5
    assert ("Resize", "Conv") in read
    assert ("Conv", "Resize") not in read
