"""Layers whose channels come first fold, are proven on the CPU, and go to every format."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

import foldbn
from foldbn.errors import ConversionFailed, Unsupported
from foldbn.export import to_onnx, to_tflite
from foldbn.frontends import safety
from foldbn.frontends.frozen import FrozenModel, Port
from foldbn.verification.reference import Evaluator
from foldbn.verification.runtimes import load_artifact
from tests import journeys
from tests.frontends.building import Model, chain, layer, make, norm
from tests.hard_cases.proving import outcomes, prove, stack
from tests.journeys import randomise

FIRST = {"data_format": "channels_first", "name": "conv"}
LINEAR = {
    "Conv1D": (layer("Conv1D", 4, 3, **FIRST), (3, 8)),
    "Conv2D": (layer("Conv2D", 4, 3, strides=(2, 1), **FIRST), (3, 8, 9)),
    "dilated": (layer("Conv2D", 4, 2, dilation_rate=(1, 2), padding="same", **FIRST), (3, 8, 9)),
    "Conv3D": (layer("Conv3D", 4, (1, 2, 3), padding="same", **FIRST), (3, 4, 5, 6)),
    "DepthwiseConv2D": (layer("DepthwiseConv2D", 3, **FIRST), (3, 8, 9)),
    "SeparableConv2D": (layer("SeparableConv2D", 4, 3, **FIRST), (3, 8, 9)),
    "Conv1DTranspose": (layer("Conv1DTranspose", 4, 3, strides=2, **FIRST), (3, 8)),
    "Conv2DTranspose": (
        layer("Conv2DTranspose", 4, 3, strides=(2, 1), padding="same", **FIRST),
        (3, 8, 9),
    ),
    "Conv3DTranspose": (layer("Conv3DTranspose", 4, 2, **FIRST), (3, 4, 5, 6)),
}


@pytest.mark.parametrize(("conv", "shape"), LINEAR.values(), ids=LINEAR)
def test_convolution_takes_a_normalization(conv, shape):
    """The map of the first axis goes into the kernel before it."""
    journey = journeys.of_keras(randomise(make(Model(chain(conv, norm(axis=1)), shape, "")), 3))
    assert journey.told == "bn folded backward into conv"
    assert journey.max_rel() <= 1e-9


def test_map_goes_on_through_pooling():
    """Pooling lets the map by, and the next convolution takes it."""
    build = chain(
        norm(axis=1),
        layer("AveragePooling2D", 2, data_format="channels_first", name="pool"),
        layer("Conv2D", 4, 2, **FIRST),
    )
    journey = journeys.of_keras(randomise(make(Model(build, (3, 8, 8), ""))))
    assert journey.told == "bn folded forward into conv across pool"
    assert journey.max_rel() <= 1e-9


@pytest.mark.parametrize("size", [(8, 9), (None, None)], ids=["known", "open"])
def test_goes_to_every_format(tmp_path, size):
    """The files of a network of several such layers run, and compute the original."""
    import keras

    layers = keras.layers
    first = {"data_format": "channels_first"}
    parts = [
        layers.Conv2D(4, 3, padding="same", **first),
        layers.BatchNormalization(axis=1),
        layers.ReLU(),
        layers.MaxPooling2D(**first),
        layers.BatchNormalization(axis=1, name="stays"),
        layers.Conv2D(5, 3, padding="same", **first),
        layers.Conv2D(5, 2, dilation_rate=1 if None in size else (2, 1), padding="same", **first),
        layers.Conv2DTranspose(3, 3, strides=2, **first),
        layers.BatchNormalization(axis=1),
        layers.GlobalAveragePooling2D(**first),
    ]
    result = prove(stack((2, *size), *parts), tmp_path)
    assert sorted(outcomes(result).values())[:2] == ["folded", "folded"]


@pytest.mark.parametrize("dilation", [1, 2])
def test_sequences_go_to_every_format(tmp_path, dilation):
    """What Conv1D puts around its convolution is turned with it."""
    import keras

    first, layers = {"data_format": "channels_first"}, keras.layers
    parts = [
        layers.Conv1D(4, 3, padding="same", dilation_rate=dilation, **first),
        layers.BatchNormalization(axis=1),
        layers.ReLU(),
        layers.Conv1DTranspose(3, 3, strides=2, **first),
        layers.BatchNormalization(axis=1),
        layers.MaxPooling1D(2, **first),
    ]
    assert set(outcomes(prove(stack((2, 9), *parts), tmp_path)).values()) == {"folded"}


@pytest.mark.parametrize("export", [to_onnx, to_tflite])
def test_dilated_convolution_of_open_lengths(export):
    """What no exporter takes is told, with a way out."""
    model = make(Model(chain(LINEAR["dilated"][0], norm(axis=1)), (3, None, None), ""))
    journey = journeys.of_keras(randomise(model))
    assert journey.max_rel() <= 1e-9
    with pytest.raises(ConversionFailed, match="channels_first") as refused:
        export(journey.model)
    assert "channels_last" in refused.value.hint


@pytest.mark.parametrize("kind", ["Conv2D", "Conv3D in groups"])
def test_goes_back_to_a_saved_model(tmp_path, kind):
    """What is written for TensorFlow's servers needs no GPU and no XLA, and is what is counted."""
    import keras

    first = {"data_format": "channels_first", "name": "conv"}
    conv, shape = {
        "Conv2D": (keras.layers.Conv2D(4, 3, **first), (3, 8, 8)),
        "Conv3D in groups": (keras.layers.Conv3D(6, 2, groups=2, **first), (4, 5, 5, 5)),
    }[kind]
    model = stack(shape, conv, keras.layers.BatchNormalization(axis=1, name="bn"))
    model.save(tmp_path / "model.keras")
    result = foldbn.convert(tmp_path / "model.keras", to=["savedmodel"], bench=False)
    (artifact,) = result.artifacts
    assert artifact.verification.passed
    assert outcomes(result) == {"bn": "folded"}
    proto = safety.read_checked(tmp_path / "model.savedmodel")
    functions = proto.meta_graphs[0].graph_def.library.function
    written = Counter(node.op for function in functions for node in function.node_def)
    counted = {op: written[op] for op in ("Conv2D", "Conv3D", "Transpose", "Split") if written[op]}
    assert {op: artifact.ops[op] for op in counted} == counted
    assert counted.get("Conv3D") == (2 if "groups" in kind else None)


TRANSPOSED = {
    "sequence": ("Conv1DTranspose", 1, (9,)),
    "sequence with strides": ("Conv1DTranspose", 2, (9,)),
    "open sequence": ("Conv1DTranspose", 2, (None,)),
    "image": ("Conv2DTranspose", 2, (5, 6)),
    "open image": ("Conv2DTranspose", 2, (5, None)),
    "open volume": ("Conv3DTranspose", 2, (None, None, None)),
}


@pytest.mark.parametrize("case", TRANSPOSED)
def test_transposed_convolution_of_a_padding_that_cuts(case):
    """The ONNX file gives as much as TensorFlow, though it is told the lengths as it runs."""
    import keras

    kind, strides, lengths = TRANSPOSED[case]
    options = {"strides": strides, "padding": "same", "data_format": "channels_first"}
    conv = getattr(keras.layers, kind)(3, 3, **options)
    model = journeys.of_keras(stack((4, *lengths), conv)).model
    x = np.random.default_rng(0).normal(size=(2, 4, *(n or 4 for n in lengths))).astype(np.float32)
    (found,) = load_artifact(to_onnx(model), "", "").run({model.inputs[0].name: x}).values()
    (wanted,) = Evaluator(model)({model.inputs[0].name: x}).values()
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-4)


def _pooled(tf, y, order, turn):
    """Return all ops that may have their channels first, one after the other."""
    raw, rank = tf.raw_ops, len(order)
    pool = {
        "ksize": turn([1, *[2] * (rank - 2), 1]),
        "strides": turn([1, 2, *[1] * (rank - 2)]),
        "padding": "SAME",
        "data_format": order,
    }
    if rank > 4:
        return raw.AvgPool3D(input=raw.MaxPool3D(input=y, **pool), **pool)
    y = raw.AvgPool(value=raw.Relu(features=raw.MaxPool(input=y, **pool)), **pool)
    y = raw.DepthToSpace(input=y, block_size=2, data_format=order)
    y = raw.SpaceToDepth(input=y, block_size=2, data_format=order)
    pads = turn([(0, 0), (1, 0), (2, 1), (0, 0)])
    kernel = np.random.default_rng(0).normal(size=(2, 3, 8, 2)).astype(np.float32)
    return raw.Conv2D(
        input=y,
        filter=kernel,
        strides=turn([1, 2, 1, 1]),
        padding="EXPLICIT",
        explicit_paddings=[n for pair in pads for n in pair],
        data_format=order,
    )


@pytest.mark.parametrize("order", ["NCHW", "NCDHW"])
def test_single_ops(order):
    """Each op with its channels first computes what it does with its channels last."""
    import tensorflow as tf

    shape = (None, *[4, 6, 5][: len(order) - 2], 8)
    there, back = [0, len(shape) - 1, *range(1, len(shape) - 1)], [0, *range(2, len(shape)), 1]
    outputs = []
    for last in (False, True):
        graph = tf.Graph()
        with graph.as_default():
            x = tf.compat.v1.placeholder(tf.float32, shape, name="x")
            if last:
                y = _pooled(tf, x, order.replace("C", "") + "C", list)
            else:
                turned = tf.transpose(x, there)
                y = _pooled(tf, turned, order, lambda values: [values[axis] for axis in there])
                y = tf.transpose(y, back)
            tf.identity(y, name="y")
        ports = [(Port(n, n, t.shape, "float32"),) for n, t in (("x", x), ("y", y))]
        journey = journeys.of_frozen(FrozenModel(graph.as_graph_def(), *ports))
        outputs.append(journey.references()[0].exact["y"])
    assert outputs[0].any()
    np.testing.assert_allclose(*outputs, rtol=1e-12, atol=1e-12)


def test_hint_is_true():
    """A loop with its channels first is refused, and the hint does not speak of lengths."""
    import keras

    loop = keras.layers.ConvLSTM2D(2, 2, data_format="channels_first")
    with pytest.raises(Unsupported) as refused:
        journeys.of_keras(keras.Sequential([keras.Input((3, 2, 5, 5)), loop])).references()
    assert "channels_last" in refused.value.hint
