"""A softmax far from even: tiny probabilities are judged by what their logits may be off."""

from __future__ import annotations

import numpy as np
import pytest

from foldbn import verification
from foldbn.verification.reference import Reference
from foldbn.verification.rounding import _judge

LOGITS = np.random.default_rng(0).uniform(-60, -20, (16, 8))
LOGITS[:, 0] = 0  # the first class takes nearly all


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _verdict(relative_error: float, *, named: bool = True) -> bool:
    """Return whether logits that are off by so much of themselves pass."""
    exact = _softmax(LOGITS)
    sign = np.where(np.arange(LOGITS.size).reshape(LOGITS.shape) % 2, 1, -1)
    reference = Reference(
        samples={"x": LOGITS},
        exact={"p": exact},
        single={"p": exact.astype(np.float32)},
        own={"p": exact},
        jitter={"p": np.zeros_like(exact)},
        depth=1,
        bounded=frozenset(),
        probabilities=frozenset(["p"] if named else []),
        unit=float(np.finfo(np.float32).eps),
    )
    found = _softmax(LOGITS * (1 + sign * relative_error)).astype(np.float32)
    return _judge(reference, {"p": found}).passed


def test_rounded_logits_pass():
    """Logits that are some float32 units off make tiny probabilities thousands of units wrong."""
    assert _verdict(2e-6)
    assert not _verdict(2e-6, named=False)


def test_wrong_logits_are_found():
    """Logits that are off by a thousandth of themselves are no rounding."""
    assert not _verdict(1e-3)


@pytest.mark.parametrize("kind", ["softmax", "linear"])
def test_outputs_of_a_softmax_are_known(kind):
    """They are read off the graph: the last node of the model says what an output is."""
    import keras

    from tests import journeys

    x = keras.Input((4,))
    y = keras.layers.Dense(3, activation=kind, name="last")(x)
    (reference, *_) = journeys.of_keras(keras.Model(x, y)).references()
    assert isinstance(reference, verification.Reference)
    assert reference.probabilities == (frozenset(["last"]) if kind == "softmax" else frozenset())
