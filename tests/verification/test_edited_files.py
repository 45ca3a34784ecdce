"""Files that were altered after their export do not pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import foldbn
from foldbn import export
from foldbn.frontends.frozen import FrozenModel
from tests import journeys
from tests.verification.faults import FAULTS, Alter, kernels_of, put_nan, swap_channels, two_outputs


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
    kernels = kernels_of(journey.model)
    for name in (next(iter(kernels)), list(kernels)[-1]):
        verdict = _verified(original, EDITORS[kind](content, kernels[name], alter), kind, tmp_path)
        assert not verdict.passed, (name, verdict)


@pytest.mark.parametrize("kind", EDITORS)
def test_verify_tells_how_far_off_a_file_is(path, journey, tmp_path, kind):
    """The distances of an edited file are numbers; those of one with NaN are not."""
    kernels = kernels_of(journey.model)
    (name,) = (name for name in kernels if "hidden" in name)
    content = _export(journey.model, kind)
    swapped = EDITORS[kind](content, kernels[name], swap_channels)
    verdict = _verified(path, swapped, kind, tmp_path)
    assert verdict.error > verdict.tolerance
    assert verdict.max_rel > 1e-3
    assert verdict.cosine < 1
    broken = _verified(path, EDITORS[kind](content, kernels[name], put_nan), kind, tmp_path)
    assert not broken.passed
    assert broken.error is broken.max_abs is broken.cosine is None


@pytest.mark.parametrize("kind", EDITORS)
def test_verify_finds_a_wrong_epsilon(path, tmp_path, kind):
    """A file made with another epsilon does not pass."""
    other = journeys.of_keras(two_outputs(epsilon=1.1e-3))
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
    kernel = next(iter(kernels_of(journey.model).values()))
    right.write_bytes(content)
    wrong.write_bytes(_edit_onnx(content, kernel, swap_channels))
    result = foldbn.verify(path, [right, wrong])
    assert not result.passed
    assert [artifact.verification.passed for artifact in result.artifacts] == [True, False]
