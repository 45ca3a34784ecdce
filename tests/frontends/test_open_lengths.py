"""Models whose images or sequences have any length: they are read, and fold like all others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from foldbn import verification
from foldbn.errors import Unsupported
from tests import journeys
from tests.frontends.building import Build, Model, chain, layer, make, norm
from tests.journeys import Journey, randomise


def _told_at_all_lengths(build: Build, shape: tuple[int | None, ...]) -> Journey:
    """Take a model through all steps, and prove the fold on inputs of two lengths."""
    journey = journeys.of_keras(randomise(make(Model(build, shape, "")), seed=3))
    assert journey.max_rel() <= 1e-9
    (port,) = journey.loaded.original.inputs
    lengths = [length or 7 for length in port.shape[1:]]
    like = {port.name: np.zeros((1, *lengths), np.float32)}
    sets = verification.generate_samples([port], 5, like=like)
    references = verification.make_references(journey.loaded.single, sets)
    assert verification.check_algebra(references, journey.model).max_rel <= 1e-9
    return journey


ENLARGED: dict[str, tuple[tuple[int | None, ...], Any]] = {
    "sequence": ((None, 3), layer("UpSampling1D", 2, name="up")),
    "image": ((None, None, 3), layer("UpSampling2D", 2, name="up")),
    "volume": ((None, None, None, 3), layer("UpSampling3D", 2, name="up")),
}


@pytest.mark.parametrize(("shape", "enlarged"), ENLARGED.values(), ids=ENLARGED)
def test_upsampling(shape, enlarged):
    """Upsampling of any size is read, whatever it computes from the lengths."""
    conv = layer(f"Conv{len(shape) - 1}D", 2, 1, name="conv")
    journey = _told_at_all_lengths(chain(norm(), enlarged, conv), shape)
    assert [*journey.outcomes] == ["bn"]


DILATED: dict[str, tuple[tuple[int | None, ...], Any]] = {
    "sequence": ((None, 3), layer("Conv1D", 4, 3, dilation_rate=2, name="conv")),
    "same": ((None, 3), layer("Conv1D", 4, 3, padding="same", dilation_rate=4, name="conv")),
    "image": ((None, None, 3), layer("Conv2D", 4, 2, dilation_rate=2, name="conv")),
    "same image": (
        (None, 9, 3),
        layer("Conv2D", 4, 2, padding="same", dilation_rate=2, name="conv"),
    ),
    "one axis": ((None, None, 3), layer("Conv2D", 4, 3, dilation_rate=(3, 1), name="conv")),
    "depthwise": ((None, None, 3), layer("DepthwiseConv2D", 3, dilation_rate=2, name="conv")),
    "volume": ((None, None, None, 3), layer("Conv3D", 4, 2, dilation_rate=2, name="conv")),
}


@pytest.mark.parametrize("name", DILATED)
def test_dilated_convolution_takes_a_normalization(name):
    """The kernel takes a map from behind; from before, if all that fills its grids is cut off."""
    shape, dilated = DILATED[name]
    journey = _told_at_all_lengths(chain(dilated, norm()), shape)
    assert journey.told == "bn folded backward into conv"
    before = _told_at_all_lengths(chain(norm(), dilated), shape)
    if name.startswith("same"):
        (decision,) = before.decisions.values()
        assert "may pad its input with zeros" in (decision.reason or "")
    else:
        assert before.told == "bn folded forward into conv"


RECURRENT = {
    "LSTM": layer("LSTM", 4, name="loop"),
    "GRU": layer("GRU", 4, name="loop"),
    "GRU with one bias": layer("GRU", 4, reset_after=False, name="loop"),
    "SimpleRNN": layer("SimpleRNN", 4, name="loop"),
    "backwards": layer("LSTM", 4, go_backwards=True, return_sequences=True, name="loop"),
}


@pytest.mark.parametrize("loop", RECURRENT.values(), ids=RECURRENT)
def test_recurrent_layer_takes_a_normalization(loop):
    """The steps of a sequence of any length meet the kernel that takes the map."""
    journey = _told_at_all_lengths(chain(norm(), loop), (None, 3))
    assert journey.told == "bn folded forward into loop"


def test_both_directions_take_it():
    """Each loop of a bidirectional layer takes the map, and another layer what comes behind."""
    both = lambda layers: layers.Bidirectional(  # noqa: E731
        layers.LSTM(4, return_sequences=True, name="loop")
    )
    build = chain(norm(), both, norm("last"), layer("Dense", 2, name="dense"))
    journey = _told_at_all_lengths(build, (None, 3))
    assert journey.told == (
        "bn folded forward into backward_loop forward_loop; last folded forward into dense"
    )


DENSE = {
    "sequence": (layer("Dense", 4, name="dense"), (None, 3)),
    "grid": (layer("Dense", 4, name="dense"), (None, None, 3)),
    "one open length of two": (layer("Dense", 4, name="dense"), (None, 5, 3)),
    "einsum": (
        layer("EinsumDense", "abc,cd->abd", (None, 4), bias_axes="d", name="dense"),
        (None, 3),
    ),
}


@pytest.mark.parametrize(("dense", "shape"), DENSE.values(), ids=DENSE)
def test_dense_takes_a_normalization(dense, shape):
    """Dense layers fold from both sides, whichever lengths are open."""
    build = chain(norm("first"), dense, norm("last"), layer("ReLU"))
    assert _told_at_all_lengths(build, shape).told == (
        "first folded forward into dense; last folded backward into dense"
    )


def test_channels_go_through_reshapes():
    """What is the same at every place is so after a reshape of open lengths, too."""
    build = chain(
        layer("Conv2D", 4, 1, name="conv"),
        layer("Reshape", (-1, 4), name="flat"),
        norm("first"),
        layer("ReLU"),
        norm("last"),
        layer("Reshape", (-1, 2, 4), name="pairs"),
        layer("Dense", 2, name="dense"),
    )
    assert _told_at_all_lengths(build, (None, 8, 3)).told == (
        "first folded backward into conv across flat; last folded forward into dense across pairs"
    )


def test_each_step():
    """Keras 3 counts the steps of a TimeDistributed of any length by the batch: that is told."""
    import keras

    steps = keras.layers.TimeDistributed(keras.layers.Dense(2, name="inner"), name="steps")
    model = keras.Sequential([keras.Input((None, 3)), steps, norm()(keras.layers)])
    journey = journeys.of_keras(randomise(model))
    assert [*journey.outcomes] == ["bn"]
    with pytest.raises(Unsupported) as refused:
        journey.references()
    assert "TimeDistributed" in (refused.value.hint or "")
