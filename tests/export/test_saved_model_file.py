"""Inputs of any name in a SavedModel."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from foldbn.errors import ConversionFailed
from foldbn.export.saved_model_file import to_saved_model
from foldbn.frontends import loading
from foldbn.frontends.frozen import FrozenModel, Port
from foldbn.verification.runtimes import load_artifact
from tests.conftest import ROOT

NAMES = {
    "no identifiers": ["a b", "x:0", "-a", "é", "2"],
    "keywords": ["in", "None"],
    "plain": ["a", "b-c", "3.d"],
}

WRITE = """
import sys
from pathlib import Path
from foldbn.export.saved_model_file import to_saved_model
from tests.export.test_saved_model_file import make
to_saved_model([make(["a b", "in"])], Path(sys.argv[1]))
"""


def make(names: list[str], signature: str = "serving_default") -> FrozenModel:
    """Return a model whose output, of an awkward name too, tells its inputs apart."""
    import tensorflow as tf

    graph = tf.Graph()
    with graph.as_default():
        total: Any = 0.0
        for number in range(len(names)):
            x = tf.compat.v1.placeholder("float32", (None, 2), name=f"node_{number}")
            total += x * 10.0**number
        tf.identity(total, name="result")
    inputs = [Port(n, f"node_{i}", (None, 2), "float32") for i, n in enumerate(names)]
    outputs = (Port("the sum", "result", (None, 2), "float32"),)
    return FrozenModel(graph.as_graph_def(), tuple(inputs), outputs, signature=signature)


def _samples(names: list[str]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Return an input for each name, and what the model makes of them."""
    values = [np.full((3, 2), number + 1, np.float32) for number in range(len(names))]
    total = sum(value * 10**number for number, value in enumerate(values))
    return dict(zip(names, values, strict=True)), np.asarray(total)


@pytest.mark.parametrize("names", NAMES.values(), ids=NAMES)
def test_inputs_of_any_name(tmp_path, names):
    """Plain TensorFlow takes the inputs under their own names, and foldbn reads them."""
    import tensorflow as tf

    folder = tmp_path / "model"
    to_saved_model([make(names), make(names[::-1], "back")], folder)
    loaded = tf.saved_model.load(str(folder))
    for signature, order in (("serving_default", names), ("back", names[::-1])):
        samples, wanted = _samples(order)
        found = loaded.signatures[signature](**{n: tf.constant(x) for n, x in samples.items()})
        np.testing.assert_array_equal(found["the sum"], wanted)
        artifact = load_artifact(folder, "model", signature)
        assert set(artifact.inputs) == set(names)
        np.testing.assert_array_equal(artifact.run(samples)["the sum"], wanted)
        read = loading.load(folder, signature).original
        assert {port.name for port in read.inputs} == set(names)


def test_inputs_that_plain_tensorflow_cannot_tell_apart(tmp_path):
    """Two names that are one to Python's TensorFlow are refused, with what to do."""
    with pytest.raises(ConversionFailed, match="'a-b' and 'a_b' are one to TensorFlow"):
        to_saved_model([make(["a-b", "a_b"])], tmp_path / "model")


def test_the_same_bytes(tmp_path):
    """Names that are put in later leave nothing to chance."""
    for place in ("one", "two"):
        command = [sys.executable, "-c", WRITE, str(tmp_path / place)]
        subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    for name in ("saved_model.pb", "fingerprint.pb"):
        one, two = ((tmp_path / place / name).read_bytes() for place in ("one", "two"))
        assert one == two
