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


def test_right_fold_passes(saturated):
    """What the tanh and the sigmoid read is the same in both graphs."""
    samples = saturated.references()[0].samples
    original = saturated.loaded.original
    assert verification.check_landmarks(original, saturated.model, samples) == 2


def test_wrong_fold_is_found_where_the_output_hides_it(saturated):
    """A folded kernel half as great again moves no output, and is found inside."""
    exact = {
        name: value * 1.5 if name.endswith("kernel") else value
        for name, value in saturated.model.values.items()
    }
    wrong = replace(saturated.model, values=exact)
    references = saturated.references()
    assert verification.check_algebra(references, wrong).max_rel <= 1e-9
    with pytest.raises(VerificationFailed, match="differs in float64 at"):
        verification.check_landmarks(saturated.loaded.original, wrong, references[0].samples)
