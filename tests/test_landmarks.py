"""Inner tensors are compared too: outputs that hardly move would hide a wrong fold."""

from dataclasses import replace

import numpy as np
import pytest

from foldbn import verification
from foldbn.errors import VerificationFailed
from tests import journeys
from tests.journeys import Journey


@pytest.fixture(scope="module")
def saturated() -> Journey:
    """Fold a network whose sigmoid gives one for every input."""
    import keras

    inputs = keras.Input((6,), name="x")
    hidden = keras.layers.Dense(5, name="first")(inputs)
    hidden = keras.layers.BatchNormalization(name="bn")(hidden)
    hidden = keras.layers.Activation("tanh")(hidden)
    last = keras.layers.Dense(2, activation="sigmoid", name="last")
    model = journeys.randomise(keras.Model(inputs, last(hidden)))
    last.set_weights([last.get_weights()[0], np.full(2, 90.0)])
    return journeys.of_keras(model)


def _sets(journey: Journey) -> list[verification.Samples]:
    return verification.generate_samples(journey.loaded.original.inputs, seed=0)


def test_right_fold_passes(saturated):
    """What the tanh and the sigmoid read is the same in both graphs."""
    proof = verification.prove(saturated.loaded.original, saturated.model, _sets(saturated))
    assert proof.landmarks == 2


def test_wrong_fold_is_found_where_the_output_hides_it(saturated):
    """A folded kernel half as great again moves no output, and is found inside."""
    values = {
        name: value * 1.5 if name.endswith("kernel") else value
        for name, value in saturated.model.values.items()
    }
    wrong = replace(saturated.model, values=values)
    assert verification.check_algebra(saturated.references(), wrong).max_rel <= 1e-9
    with pytest.raises(VerificationFailed, match="differs in float64 at"):
        verification.prove(saturated.loaded.original, wrong, _sets(saturated))


def test_one_number_is_compared():
    """A tensor of no axes, like the sum that a conditional asks for, is a landmark as well."""
    gap = verification.metrics.distance(np.asarray(2.0), np.asarray(2.5))
    assert (gap.max_abs, gap.max_rel, gap.worst_index) == (0.5, 0.25, ())
    assert verification.metrics.distance(np.asarray(2.0), np.asarray(np.nan)).max_abs == np.inf
