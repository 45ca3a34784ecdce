"""What the reader makes of a frozen graph: ops, the layers they belong to, and bad weights."""

from __future__ import annotations

import numpy as np
import pytest

from foldbn import ops
from foldbn.errors import BadWeights
from tests import journeys
from tests.frontends.building import make
from tests.frontends.models import MODELS
from tests.journeys import randomise


def _ops(name: str) -> list[ops.Op]:
    journey = journeys.of_keras(randomise(make(MODELS[name])))
    nodes = [node.op for node in journey.reading.graph]
    return [op for op in nodes if op.title not in ("Identity", "Reshape")]


def test_conv_takes_its_bias_in():
    """A convolution and the addition of its bias are one op."""
    conv, norm = _ops("conv valid")
    assert isinstance(conv, ops.Conv)
    assert conv.bias.shape == (5,)
    assert isinstance(norm, ops.AffineOp)


def test_conv_1d():
    """ExpandDims, a convolution and Squeeze, with the bias after them, are one convolution."""
    conv, norm = _ops("conv 1d")
    assert isinstance(norm, ops.AffineOp)
    assert conv.rank == 2
    assert conv.kernel.ndim == 3
    assert conv.bias is not None


def test_normalization_is_one_op():
    """The multiplication and addition of a normalization are one affine op."""
    norm, conv = _ops("norm, conv valid")
    assert isinstance(norm, ops.AffineOp)
    assert [part.shape for part in norm.affine.parts] == [(1, 1, 4)] * 2
    assert isinstance(conv, ops.Conv)


def test_prelu_is_one_op():
    """The five nodes of a PReLU are one op that scales >= 0 pass."""
    dense, norm, prelu = _ops("prelu")
    assert isinstance(dense, ops.Dense)
    assert isinstance(norm, ops.AffineOp)
    assert prelu.title == "PReLU"
    assert prelu.scales == "nonnegative"


def test_dilation():
    """A dilated convolution has its dilation, or stands between the ops that write it so."""
    found = _ops("dilated conv")
    (conv,) = [op for op in found if isinstance(op, ops.Conv)]
    assert conv.dilations == (2, 2) or "SpaceToBatch" in {op.title for op in found}


def test_groups():
    """A grouped convolution knows its groups."""
    conv = _ops("grouped conv")[0]
    assert isinstance(conv, ops.Conv)
    assert conv.groups == 2
    assert conv.kernel.shape == (3, 3, 2, 6)


def test_transposed():
    """A transposed convolution's kernel has its outputs before its inputs."""
    (conv,) = [op for op in _ops("transposed") if isinstance(op, ops.ConvTranspose)]
    assert conv.kernel.shape == (3, 3, 3, 4)
    assert conv.strides == (2, 2)


def test_clusters_cover_the_graph():
    """Each op stands for nodes of the graph, and each node is in one op."""
    journey = journeys.of_keras(randomise(make(MODELS["prelu"])))
    named = [node.name for cluster in journey.reading.clusters.values() for node in cluster]
    assert len(named) == len(set(named))
    nodes = journey.loaded.simplified.graph_def.node
    assert set(named) == {n.name for n in nodes if n.op not in ("Const", "Placeholder")}


def test_layers_are_named():
    """Every op of a Keras layer carries the layer's name, affine layers their class."""
    journey = journeys.of_keras(randomise(make(MODELS["average pooling"])))
    layers = {node.layer for node in journey.reading.graph if node.op.title != "Identity"}
    assert layers == {"conv", "pool", "bn"}
    assert journey.decisions["bn"].kind == "BatchNormalization"


@pytest.mark.parametrize("name", ["bn_1", "1_bn", "a.b", "bn__2", "dense", "BatchNormalization"])
def test_layer_names_survive(name):
    """A layer's own name is told, also one that looks like a numbered or another one."""
    import keras

    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(3, name="first"),
            keras.layers.BatchNormalization(name=name),
            keras.layers.Dense(2, name="dense_1" if name == "dense" else "last"),
        ]
    )
    journey = journeys.of_keras(randomise(model))
    assert journey.told == f"{name} folded backward into first"


def test_layers_of_one_name_in_two_models():
    """Normalizations of one name in two nested models are told apart by what they fold into."""
    import keras

    def block(name: str) -> keras.Model:
        return keras.Sequential(
            [
                keras.Input((4,)),
                keras.layers.Dense(4, name=f"{name}_dense"),
                keras.layers.BatchNormalization(name="bn"),
                keras.layers.ReLU(),
            ],
            name=name,
        )

    model = keras.Sequential([keras.Input((4,)), block("one"), block("two")])
    journey = journeys.of_keras(randomise(model))
    assert [d.into for d in journey.folding.decisions] == [("one_dense",), ("two_dense",)]
    assert journey.max_rel() <= 1e-9


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("weight", ["gamma", "beta", "moving_mean"])
def test_bad_weight(weight, value):
    """NaN or infinity in a normalization is an error that names the layer."""
    model = randomise(make(MODELS["dense"]))
    variable = getattr(model.get_layer("bn"), weight)
    variable.assign(np.full(variable.shape, value))
    with pytest.raises(BadWeights, match="'bn'"):
        journeys.of_keras(model)


def test_bad_kernel():
    """NaN in a kernel is an error that names the layer."""
    model = make(MODELS["dense"])
    model.get_layer("dense").kernel.assign(np.full((5, 3), np.nan))
    with pytest.raises(BadWeights, match=r"'dense'.*NaN"):
        journeys.of_keras(model)


def test_a_mask_of_infinity_is_no_weight():
    """Attention adds minus infinity where nothing is to be seen: that is no broken layer."""
    import keras

    mask = np.triu(np.full((3, 3), -np.inf, np.float32), 1)
    x = keras.Input((3, 3))
    y = keras.layers.BatchNormalization(name="bn")(keras.layers.Dense(3, name="dense")(x))
    journey = journeys.of_keras(randomise(keras.Model(x, keras.ops.softmax(y + mask))))
    assert journey.outcomes == {"bn": "folded"}
    assert journey.max_rel() <= 1e-9
