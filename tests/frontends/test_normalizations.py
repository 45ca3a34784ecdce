"""The affine half of layers that normalize each sample moves on into the next layer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests import journeys

LAYERS = {
    "LayerNormalization": ((4, 6), lambda layers: layers.LayerNormalization(name="norm")),
    "no beta": ((4, 6), lambda layers: layers.LayerNormalization(center=False, name="norm")),
    "no gamma": ((4, 6), lambda layers: layers.LayerNormalization(scale=False, name="norm")),
    "of one axis": ((6,), lambda layers: layers.LayerNormalization(name="norm")),
    "GroupNormalization": ((4, 4, 6), lambda layers: layers.GroupNormalization(2, name="norm")),
    "RMSNormalization": ((4, 6), lambda layers: layers.RMSNormalization(name="norm")),
}


def _model(name: str, after: Any) -> Any:
    """Return the layer after a tanh, its weights drawn at random, and `after` behind it."""
    import keras

    shape, make = LAYERS[name]
    x = keras.Input(shape)
    norm = make(keras.layers)
    y = after(norm(keras.layers.Activation("tanh")(x)))
    rng = np.random.default_rng(3)
    drawn = [rng.normal(size=weight.shape) for weight in norm.get_weights()]
    for weight in drawn:
        weight.flat[0] = 0
    norm.set_weights(drawn)
    return journeys.randomise(keras.Model(x, y))


@pytest.mark.parametrize("name", LAYERS)
def test_affine_half_goes_into_the_next_layer(name):
    """Gamma and beta become part of the dense layer behind, zeros and negative ones too."""
    import keras

    journey = journeys.of_keras(_model(name, keras.layers.Dense(3, name="after")))
    (decision,) = journey.folding.decisions
    assert (decision.outcome, decision.layer, decision.into) == ("folded", "norm", ("after",))
    assert decision.kind == (name if name.endswith("Normalization") else "LayerNormalization")
    assert journey.max_rel() <= 1e-9


@pytest.mark.parametrize("name", LAYERS)
def test_half_that_stays_is_no_affine_layer(name):
    """Where nothing takes it the layer stays one layer, and is not told as kept."""
    import keras

    journey = journeys.of_keras(_model(name, keras.layers.Activation("tanh")))
    assert journey.folding.decisions == ()
    assert journey.max_rel() <= 1e-9
    kinds = [[node.op for node in m.graph_def.node if node.op != "Const"] for m in _both(journey)]
    assert len(kinds[1]) <= len(kinds[0])


def _both(journey: journeys.Journey) -> tuple[Any, Any]:
    return journey.loaded.original, journey.model
