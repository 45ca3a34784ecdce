"""Activations far from the middle: right files pass, and wrong ones do not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import foldbn
from tests.verification.faults import FAULTS
from tests.verification.test_edited_files import EDITORS

ACTIVATIONS = ("gelu", "silu", "softplus", "mish", "celu")
DEAD = {"one channel": (0, 0, -8, 0), "all": (-6, -6, -9, -12)}


def _model(activation: str, bias: tuple[float, ...]) -> Any:
    import keras

    keras.utils.set_random_seed(0)
    inputs = keras.Input((8,))
    dense = keras.layers.Dense(4, activation=activation, kernel_initializer="he_normal")
    model = keras.Model(inputs, dense(inputs))
    dense.set_weights([dense.get_weights()[0] * 0.3, np.array(bias)])
    return model


@pytest.mark.parametrize("bias", DEAD.values(), ids=DEAD)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_right_files_pass(tmp_path, activation, bias):
    """What is next to nothing has an error that is not: runtimes compute it from ones."""
    path = tmp_path / "model.keras"
    _model(activation, bias).save(path)
    result = foldbn.convert(path, bench=False)
    for artifact in result.artifacts:
        assert artifact.verification.error < artifact.verification.tolerance / 2


@pytest.mark.parametrize("kind", EDITORS)
@pytest.mark.parametrize("alter", FAULTS.values(), ids=FAULTS)
def test_wrong_files_do_not(tmp_path, kind, alter):
    """Beside a dead channel the others are held as before."""
    path = tmp_path / "model.keras"
    _model("gelu", DEAD["one channel"]).save(path)
    foldbn.convert(path, to=(kind,), bench=False)
    file = path.with_suffix(f".{kind}")
    assert foldbn.verify(path, [file]).passed
    kernel = _model("gelu", DEAD["one channel"]).layers[1].get_weights()[0]
    file.write_bytes(EDITORS[kind](file.read_bytes(), kernel, alter))
    assert not foldbn.verify(path, [file]).passed
