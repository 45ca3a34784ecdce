"""What the writer makes of a folded graph: nodes that TensorFlow and the exporters know."""

from __future__ import annotations

import numpy as np
import pytest

from foldbn.errors import ConversionFailed
from foldbn.frontends.frozen import tensor_name
from tests import journeys
from tests.frontends.building import make
from tests.frontends.models import MODELS
from tests.hard_cases.proving import stack
from tests.journeys import randomise


@pytest.mark.parametrize(
    "name", ["conv valid", "depthwise multiplier", "transposed", "dense rank 3", "conv 1d", "prelu"]
)
def test_attributes(name):
    """Every node has the attributes of its op and no others."""
    from tensorflow.python.framework import op_def_registry

    journey = journeys.of_keras(randomise(make(MODELS[name])))
    for node in journey.model.graph_def.node:
        known = {attr.name for attr in op_def_registry.get(node.op).attr}
        strange = {key for key in node.attr if not key.startswith("_")} - known
        assert not strange, node.name


def test_names_are_unique_and_ordered():
    """No two nodes share a name, and each stands after those it reads."""
    journey = journeys.of_keras(randomise(make(MODELS["separable"])))
    seen = set()
    for node in journey.model.graph_def.node:
        assert node.name not in seen
        assert all(source.partition(":")[0] in seen for source in node.input)
        seen.add(node.name)


def test_ports_stay():
    """Inputs and outputs of the folded graph are those of the model."""
    journey = journeys.of_keras(randomise(make(MODELS["dense"])))
    original = journey.loaded.original
    assert journey.model.inputs == original.inputs
    assert journey.model.outputs == original.outputs


def test_a_layer_without_bias_gets_one():
    """What was two ops, product and normalization, is a product and a bias."""
    journey = journeys.of_keras(randomise(make(MODELS["conv same"])))
    kinds = [node.op for node in journey.model.graph_def.node]
    assert kinds.count("Conv2D") == 1
    assert kinds.count("BiasAdd") == 1
    assert not {"Mul", "AddV2", "FusedBatchNormV3"} & set(kinds)


def test_unfolded_nodes_stay_as_they_were():
    """Where nothing folds the graph is written back node by node."""
    from keras import layers

    walls = layers.Activation("sigmoid"), layers.BatchNormalization(1), layers.Activation("tanh")
    journey = journeys.of_keras(stack((4, 3), *walls))
    before, after = (
        {(node.name, node.op): [tensor_name(source) for source in node.input] for node in nodes}
        for nodes in (journey.loaded.simplified.graph_def.node, journey.model.graph_def.node)
    )
    assert after == before


def test_what_stays_on_a_sequence_is_one_depthwise_convolution():
    """A map over ``[T, C]`` is written between ExpandDims and Squeeze, with a bias."""
    journey = journeys.of_keras(randomise(make(MODELS["norm, conv 1d causal"])))
    kinds = [node.op for node in journey.model.graph_def.node if node.op != "Const"]
    first = kinds.index("ExpandDims")
    assert kinds[first : first + 4] == [
        "ExpandDims",
        "DepthwiseConv2dNative",
        "BiasAdd",
        "Squeeze",
    ]
    assert not {"Mul", "AddV2"} & set(kinds)


def test_float32_and_float64_agree():
    """Each new weight is stored in float32 beside the float64 value it is rounded from."""
    from tensorflow.python.framework import tensor_util

    journey = journeys.of_keras(randomise(make(MODELS["conv valid"])))
    stored = {n.name: n.attr["value"].tensor for n in journey.model.graph_def.node}
    fresh = {k: v for k, v in journey.model.values.items() if k.endswith(("/kernel", "/bias"))}
    assert len(fresh) == 2
    for name, exact in fresh.items():
        single = tensor_util.MakeNdarray(stored[name])
        assert single.dtype == np.float32
        np.testing.assert_array_equal(single, exact.astype(np.float32))


def test_shared_kernel_is_copied():
    """Two uses of one layer get weights of their own when their maps differ."""
    journey = journeys.of_keras(randomise(make(MODELS["shared dense, two norms"])))
    kernels = {
        node.input[1] for node in journey.model.graph_def.node if node.op in ("MatMul", "Einsum")
    }
    assert len(kernels) == 3


def test_overflow():
    """A folded weight that float32 cannot hold is an error that names it."""
    model = randomise(make(MODELS["dense"]), scales="positive")
    model.get_layer("dense").kernel.assign(np.full((5, 3), 1e30))
    model.get_layer("bn").gamma.assign(np.full(3, 1e20))
    with (
        np.errstate(over="ignore"),
        pytest.raises(ConversionFailed, match=r"dense.*kernel.*more than float32 holds"),
    ):
        journeys.of_keras(model)


def test_shared_kernel_stays_shared():
    """Two uses of one layer with one normalization after each keep a single kernel."""
    import keras

    shared, norm = keras.layers.Dense(3, name="shared"), keras.layers.BatchNormalization(name="bn")
    inputs = [keras.Input((4,)) for _ in range(2)]
    outputs = [norm(shared(tensor)) for tensor in inputs]
    journey = journeys.of_keras(randomise(keras.Model(inputs, keras.layers.Add()(outputs))))
    assert [d.outcome for d in journey.folding.decisions] == ["folded", "folded"]
    kernels = {n.input[1] for n in journey.model.graph_def.node if n.op in ("MatMul", "Einsum")}
    assert len(kernels) == 1
    assert journey.max_rel() <= 1e-9


def test_moved_kernel_stays_shared():
    """A convolution that goes past a pooling in one of its two places keeps the one kernel."""
    import keras
    from keras import layers

    shared, image = layers.Conv2D(8, 1), keras.Input((6, 6, 8))
    pooled = layers.ReLU()(layers.AveragePooling2D(2)(shared(image)))
    model = keras.Model(image, [layers.Flatten()(pooled), layers.ReLU()(shared(image))])
    journey = journeys.of_keras(randomise(model))
    assert journey.folding.reordered == (shared.name,)
    kernels = {n.input[1] for n in journey.model.graph_def.node if n.op == "Conv2D"}
    assert len(kernels) == 1
    assert journey.max_rel() <= 1e-9
