"""The algebra can fail: each fault is found, and found where it is."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

import foldbn
from foldbn import verification
from foldbn.errors import BadSamples, VerificationFailed
from foldbn.frontends.frozen import FrozenModel
from tests import journeys
from tests.journeys import randomise
from tests.verification.faults import FAULTS, Alter, kernels_of, swap_channels, two_outputs


def _altered(model: FrozenModel, name: str, alter: Alter) -> FrozenModel:
    """Return `model` with the constant `name` altered, in float32 and in float64."""
    from tensorflow.python.framework import tensor_util

    graph_def = type(model.graph_def)()
    graph_def.CopyFrom(model.graph_def)
    exact = alter(model.values[name])
    (node,) = (node for node in graph_def.node if node.name == name)
    proto = tensor_util.make_tensor_proto(exact.astype(np.float32))
    node.attr["value"].tensor.CopyFrom(proto)
    return replace(model, graph_def=graph_def, values={**model.values, name: exact})


@pytest.mark.parametrize("alter", FAULTS.values(), ids=FAULTS)
def test_algebra_finds_a_fault_in_any_kernel(network, alter):
    """No kernel of the folded graph can be altered without the algebra telling."""
    _, journey = network
    references = journey.references()
    assert verification.check_algebra(references, journey.model).max_rel <= 1e-9
    kernels = kernels_of(journey.model)
    assert len(kernels) >= 3
    for name in kernels:
        with pytest.raises(VerificationFailed) as caught:
            verification.check_algebra(references, _altered(journey.model, name, alter))
        assert caught.value.exit_code == 1


def test_algebra_finds_a_wrong_epsilon(journey):
    """A fold made with another epsilon is off by far more than the algebra allows."""
    other = journeys.of_keras(two_outputs(epsilon=1.1e-3))
    with pytest.raises(VerificationFailed, match=r"differs in float64.*1e-09"):
        verification.check_algebra(journey.references(), other.model)


def test_algebra_finds_exchanged_outputs(journey):
    """Outputs are compared by name, so that two of one shape cannot stand for each other."""
    one, two = journey.model.outputs
    exchanged = replace(
        journey.model, outputs=(replace(one, node=two.node), replace(two, node=one.node))
    )
    with pytest.raises(VerificationFailed, match="'one'"):
        verification.check_algebra(journey.references(), exchanged)


def test_algebra_names_the_output(journey):
    """The output that differs is named, not one that is right."""
    (name,) = (name for name in kernels_of(journey.model) if "hidden" in name)
    swapped = _altered(journey.model, name, swap_channels)
    with pytest.raises(VerificationFailed, match="'one'"):
        verification.check_algebra(journey.references(), swapped)


def test_algebra_lets_no_nan_pass(tmp_path):
    """A model that gives NaN is not proven, though the folded one gives NaN as well."""
    import keras

    inputs = keras.Input((4,), name="x")
    hidden = keras.layers.BatchNormalization()(keras.layers.Dense(3)(inputs))
    path = tmp_path / "model.keras"
    randomise(keras.Model(inputs, keras.ops.log(hidden))).save(path)
    with pytest.raises(BadSamples, match="NaN or infinite"):
        foldbn.convert(path, output_dir=tmp_path / "out", bench=False)
    assert not (tmp_path / "out").exists()


def test_an_output_that_is_empty_on_these_lengths():
    """What cuts off 40 steps of 32 leaves nothing to compare, and asks for longer inputs."""
    import keras

    x = keras.Input((None, 3), name="x")
    original = journeys.of_keras(keras.Model(x, x[:, 40:] * 2.0)).loaded.single
    with pytest.raises(BadSamples, match=r"no number .* \(2, 0, 3\)") as caught:
        verification.make_references(original, [{"x": np.ones((2, 32, 3), np.float32)}])
    assert "--samples" in caught.value.hint
    assert verification.make_references(original, [{"x": np.ones((2, 50, 3), np.float32)}])


SABOTAGE = """
import sys
from dataclasses import replace

import numpy as np

import foldbn
from foldbn import ops
from foldbn.affine import Affine
from foldbn.rules import Absorbs, forward

rule = forward._table[{op}]

def wrong(op, affine):
    return {body}

forward._table[{op}] = wrong
try:
    foldbn.convert(sys.argv[1], output_dir=sys.argv[2], bench=False, overwrite=True)
except foldbn.FoldbnError as error:
    print(error.id, error.message)
    sys.exit(error.exit_code)
"""
WRONG_RULES = {
    "a dense layer forgets the shift": (
        "mlp_bn_after.h5",
        "ops.Dense",
        "rule(op, Affine(affine.scale, np.zeros_like(affine.shift)))",
    ),
    "a convolution forgets its padding": (
        "cnn_bn_after.h5",
        "ops.Conv",
        "Absorbs(replace(rule(replace(op, padding='valid'), affine).op, padding=op.padding))",
    ),
}


@pytest.mark.parametrize(("model", "op", "body"), WRONG_RULES.values(), ids=WRONG_RULES)
def test_a_wrong_rule_writes_nothing(networks, tmp_path, model, op, body):
    """With a rule that is wrong, conversion fails, and the old file is what it was."""
    there = tmp_path / model.replace(".h5", ".onnx")
    there.write_bytes(b"old")
    command = [sys.executable, "-c", SABOTAGE.format(op=op, body=body), networks / model, tmp_path]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 1, run.stderr[-2000:]
    assert run.stdout.startswith("FBN021 the folded graph differs in float64")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {there.name: b"old"}
