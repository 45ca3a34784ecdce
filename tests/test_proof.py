"""The proof can fail: each fault that is put in on purpose is found, and found where it is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import foldbn
from foldbn import export, verification
from foldbn.errors import BadSamples, VerificationFailed
from foldbn.frontends.frozen import FrozenModel
from foldbn.verification.metrics import cosine, distance, snr_db, ulp_p99
from tests import journeys
from tests.journeys import Journey, randomise

Alter = Callable[[np.ndarray], np.ndarray]


def _add_a_thousandth(kernel: np.ndarray) -> np.ndarray:
    """Change one weight by 1e-3."""
    altered = kernel.copy()
    altered[(kernel.shape[0] // 2, *[0] * (kernel.ndim - 1))] += 1e-3
    return altered


def _swap_channels(kernel: np.ndarray) -> np.ndarray:
    """Exchange two output channels, which a depthwise kernel has on its last axis but one."""
    altered = kernel.copy()
    channels = np.moveaxis(altered, -2 if kernel.shape[-1] == 1 else -1, 0)
    channels[[0, 1]] = channels[[1, 0]]
    return altered


def _put_nan(kernel: np.ndarray) -> np.ndarray:
    altered = kernel.copy()
    altered.flat[-1] = np.nan
    return altered


def _double_one(kernel: np.ndarray) -> np.ndarray:
    """Flip the lowest bit of one exponent, which doubles or halves the weight."""
    altered = kernel.astype(np.float32)
    altered.view(np.uint32).flat[3] ^= 1 << 23
    return altered


FAULTS: dict[str, Alter] = {
    "a thousandth": _add_a_thousandth,
    "swapped channels": _swap_channels,
    "NaN": _put_nan,
    "one bit": _double_one,
}


def _two_outputs(epsilon: float = 1e-3) -> Any:
    """Return a model with outputs ``one`` and ``two`` of one shape."""
    import keras

    keras.utils.set_random_seed(1)
    layers = keras.layers
    inputs = keras.Input((6,), name="x")
    hidden = layers.Dense(5, use_bias=False, name="hidden")(inputs)
    hidden = layers.ReLU()(layers.BatchNormalization(epsilon=epsilon, name="bn")(hidden))
    outputs = [layers.Dense(3, name=name)(hidden) for name in ("one", "two")]
    return randomise(keras.Model(inputs, outputs), seed=2)


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    """Return the file of the model with two outputs."""
    path = tmp_path_factory.mktemp("proof") / "model.keras"
    _two_outputs().save(path)
    return path


@pytest.fixture(scope="module")
def journey(path) -> Journey:
    """Return the model with two outputs, folded."""
    return journeys.of_file(path)


@pytest.fixture(scope="module", params=["mlp_bn_after.h5", "cnn_bn_before.h5"])
def network(request, networks) -> tuple[Path, Journey]:
    """Return a trained network, folded, and its file."""
    return networks / request.param, journeys.of_file(networks / request.param)


def _kernels(model: FrozenModel) -> dict[str, np.ndarray]:
    """Return the kernels that folding made, in float64, by the names of their constants."""
    return {name: value for name, value in model.values.items() if name.endswith("/kernel")}


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
    kernels = _kernels(journey.model)
    assert len(kernels) >= 3
    for name in kernels:
        with pytest.raises(VerificationFailed) as caught:
            verification.check_algebra(references, _altered(journey.model, name, alter))
        assert caught.value.exit_code == 1


def test_algebra_finds_a_wrong_epsilon(journey):
    """A fold made with another epsilon is off by far more than the algebra allows."""
    other = journeys.of_keras(_two_outputs(epsilon=1.1e-3))
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
    (name,) = (name for name in _kernels(journey.model) if "hidden" in name)
    swapped = _altered(journey.model, name, _swap_channels)
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


def _edit_onnx(content: bytes, kernel: np.ndarray, alter: Alter) -> bytes:
    """Alter one initializer of an ONNX file: the one that holds `kernel`."""
    proto = onnx.load_from_string(content)
    single = kernel.astype(np.float32)
    for tensor in proto.graph.initializer:
        value = numpy_helper.to_array(tensor)
        for order in ORDERS:
            if order(single).shape == value.shape and (order(single) == value).all():
                altered = order(alter(kernel)).astype(np.float32).reshape(value.shape)
                tensor.CopyFrom(numpy_helper.from_array(altered, tensor.name))
                return proto.SerializeToString()
    pytest.fail(f"no initializer holds the kernel of shape {kernel.shape}")


def _edit_tflite(content: bytes, kernel: np.ndarray, alter: Alter) -> bytes:
    """Alter the bytes of one buffer of a TFLite file: the one that holds `kernel`."""
    for order in ORDERS:
        old = np.ascontiguousarray(order(kernel.astype(np.float32))).tobytes()
        if content.count(old) == 1:
            new = np.ascontiguousarray(order(alter(kernel)).astype(np.float32)).tobytes()
            return content.replace(old, new)
    pytest.fail(f"no buffer holds the kernel of shape {kernel.shape}")


def _as_it_is(kernel: np.ndarray) -> np.ndarray:
    return kernel


def _transposed(kernel: np.ndarray) -> np.ndarray:
    """Bring the output channel to the front, and of a convolution the input channel next."""
    return kernel.T if kernel.ndim == 2 else kernel.transpose(3, 2, 0, 1)


def _output_first(kernel: np.ndarray) -> np.ndarray:
    """Bring the output channel of a convolution to the front, as TFLite has it."""
    return kernel if kernel.ndim == 2 else kernel.transpose(3, 0, 1, 2)


def _depthwise(kernel: np.ndarray) -> np.ndarray:
    """Bring the one multiplier of a depthwise kernel to the front."""
    return kernel if kernel.ndim == 2 else kernel.transpose(2, 3, 0, 1)


ORDERS = (_as_it_is, _transposed, _output_first, _depthwise)
EDITORS = {"onnx": _edit_onnx, "tflite": _edit_tflite}


def _export(model: FrozenModel, kind: str) -> bytes:
    return export.export(model, kind, None, export.DEFAULT_OPSET)


def _verified(original: Path, content: bytes, kind: str, folder: Path) -> Any:
    exported = folder / f"exported.{kind}"
    exported.write_bytes(content)
    result = foldbn.verify(original, [exported])
    (artifact,) = result.artifacts
    assert artifact.format == kind
    assert result.passed == artifact.verification.passed
    return artifact.verification


@pytest.mark.parametrize("kind", EDITORS)
@pytest.mark.parametrize("alter", FAULTS.values(), ids=FAULTS)
def test_verify_finds_an_edited_file(network, tmp_path, kind, alter):
    """A file whose weights are altered after export does not pass, and its own does."""
    original, journey = network
    content = _export(journey.model, kind)
    assert _verified(original, content, kind, tmp_path).passed
    kernels = _kernels(journey.model)
    for name in (next(iter(kernels)), list(kernels)[-1]):
        verdict = _verified(original, EDITORS[kind](content, kernels[name], alter), kind, tmp_path)
        assert not verdict.passed, (name, verdict)


@pytest.mark.parametrize("kind", EDITORS)
def test_verify_tells_how_far_off_a_file_is(path, journey, tmp_path, kind):
    """The distances of an edited file are numbers; those of one with NaN are not."""
    kernels = _kernels(journey.model)
    (name,) = (name for name in kernels if "hidden" in name)
    content = _export(journey.model, kind)
    swapped = EDITORS[kind](content, kernels[name], _swap_channels)
    verdict = _verified(path, swapped, kind, tmp_path)
    assert verdict.error > verdict.tolerance
    assert verdict.max_rel > 1e-3
    assert verdict.cosine < 1
    broken = _verified(path, EDITORS[kind](content, kernels[name], _put_nan), kind, tmp_path)
    assert not broken.passed
    assert broken.error is broken.max_abs is broken.cosine is None


@pytest.mark.parametrize("kind", EDITORS)
def test_verify_finds_a_wrong_epsilon(path, tmp_path, kind):
    """A file made with another epsilon does not pass."""
    other = journeys.of_keras(_two_outputs(epsilon=1.1e-3))
    assert not _verified(path, _export(other.model, kind), kind, tmp_path).passed


def test_verify_finds_exchanged_outputs_in_onnx(path, journey, tmp_path):
    """Two outputs of one shape that have exchanged their names do not pass."""
    proto = onnx.load_from_string(_export(journey.model, "onnx"))
    other = {"one": "two", "two": "one"}
    for node in proto.graph.node:
        node.output[:] = [other.get(name, name) for name in node.output]
        node.input[:] = [other.get(name, name) for name in node.input]
    assert not _verified(path, proto.SerializeToString(), "onnx", tmp_path).passed


def test_verify_finds_exchanged_outputs_in_tflite(path, journey, tmp_path):
    """Two outputs of one shape that have exchanged their names do not pass."""
    import flatbuffers
    from tensorflow.lite.python import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(_export(journey.model, "tflite"))
    one, two = model.signatureDefs[0].outputs
    one.tensorIndex, two.tensorIndex = two.tensorIndex, one.tensorIndex
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    assert not _verified(path, bytes(builder.Output()), "tflite", tmp_path).passed


def test_order_of_outputs_does_not_matter(path, journey, tmp_path):
    """A file that lists its outputs in another order, under the right names, passes."""
    proto = onnx.load_from_string(_export(journey.model, "onnx"))
    outputs = list(reversed(proto.graph.output))
    del proto.graph.output[:]
    proto.graph.output.extend(outputs)
    assert _verified(path, proto.SerializeToString(), "onnx", tmp_path).passed


def test_one_wrong_file_among_right_ones(path, journey, tmp_path):
    """One file that fails makes the whole answer a failure, and is the one that is told."""
    right, wrong = tmp_path / "right.onnx", tmp_path / "wrong.onnx"
    content = _export(journey.model, "onnx")
    kernel = next(iter(_kernels(journey.model).values()))
    right.write_bytes(content)
    wrong.write_bytes(_edit_onnx(content, kernel, _swap_channels))
    result = foldbn.verify(path, [right, wrong])
    assert not result.passed
    assert [artifact.verification.passed for artifact in result.artifacts] == [True, False]


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


def test_nothing_is_compared_with_nothing():
    """A comparison of no numbers is refused, and so is one of different shapes."""
    for left, right in (((0, 3), (0, 3)), ((2, 3), (3, 2)), ((2, 3), (2, 3, 1)), ((4,), (1,))):
        with pytest.raises(ValueError, match="cannot compare"):
            distance(np.ones(left), np.ones(right))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_far_from_everything(bad):
    """NaN and infinity are infinitely far from themselves too."""
    gap = distance(np.array([1.0, bad]), np.array([1.0, bad]))
    assert gap.max_abs == np.inf
    assert gap.max_rel == np.inf or np.isnan(gap.max_rel)
    assert gap.worst_index == (1,)


def test_distance():
    """A known difference has the numbers worked out by hand, and the place where it is."""
    gap = distance(np.array([[3.0, -4.0], [0.0, 0.0]]), np.array([[3.0, -4.0], [2.0, 0.0]]))
    assert gap.max_abs == 2
    assert gap.max_rel == 0.5
    assert gap.mean_abs == 0.5
    assert gap.rms == 1
    assert gap.worst_index == (1, 0)
    assert (gap.scale_max, gap.scale_rms) == (4, 2.5)


def test_distance_from_nothing_but_zeros():
    """Where the reference is all zeros only zeros are near."""
    assert distance(np.zeros(2), np.zeros(2)).max_rel == 0
    assert distance(np.zeros(2), np.full(2, 1e-30)).max_rel == np.inf


def test_other_measures():
    """Signal-to-noise ratio, cosine and units in the last place of known pairs."""
    one, near = {"y": np.array([1.0, 0.0])}, {"y": np.array([1.0, 0.1])}
    assert snr_db(one, one) is None
    assert snr_db(one, near) == pytest.approx(20)
    assert cosine(one, {"y": np.array([0.0, 2.0])}) == 0
    assert cosine(one, {"y": np.array([5.0, 0.0])}) == 1
    step = float(np.spacing(np.float32(1)))
    assert ulp_p99({"y": np.ones(3)}, {"y": np.full(3, 1 + 3 * step)}) == pytest.approx(3)
