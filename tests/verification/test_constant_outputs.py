"""What no sample changes is proven of little, and that is told."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import foldbn
from foldbn.report import render
from foldbn.results import Conversion, Verification


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """Return a model whose first output is dead for inputs below ten, as generated ones are."""
    import keras

    x = keras.Input((3,), name="x")
    ends = [keras.layers.Dense(2, activation="relu", name=name)(x) for name in ("dead", "live")]
    model = keras.Model(x, ends)
    rng = np.random.default_rng(0)
    model.get_layer("dead").set_weights([rng.uniform(0.5, 1, (3, 2)), np.full(2, -1e3)])
    path = tmp_path_factory.mktemp("dead") / "dead.keras"
    model.save(path)
    return path


def _text(result: Conversion | Verification) -> str:
    console = Console(file=io.StringIO(), width=200)
    render(result, console)
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_dead_output_is_told(model, tmp_path):
    """The output that is zero whatever comes in is named, with what to do."""
    result = foldbn.convert(model, output_dir=tmp_path, bench=False)
    assert [artifact.verification.constant for artifact in result.artifacts] == [("dead",)] * 2
    assert "note dead: the same for every sample, which proves little" in _text(result)


def test_real_samples_change_it(model, tmp_path):
    """Samples that wake it up leave nothing to tell."""
    samples = tmp_path / "samples.npy"
    np.save(samples, np.linspace(0, 2000, 24, dtype="f4").reshape(8, 3))
    result = foldbn.convert(model, output_dir=tmp_path, bench=False, samples=samples)
    assert [artifact.verification.constant for artifact in result.artifacts] == [()] * 2
    assert "proves little" not in _text(result)
    one = tmp_path / "one.npy"
    np.save(one, np.load(samples)[:1])
    verdict = foldbn.verify(model, [result.artifacts[0].path], samples=one).artifacts[0]
    assert verdict.verification.constant == ("dead",)
