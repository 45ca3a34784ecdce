"""The artefacts: names, metadata, batch size, opset, formats."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest

import foldbn
from tests.convert.untimed import convert, names
from tests.journeys import randomise


def _onnx(result: foldbn.Conversion) -> onnx.ModelProto:
    (path,) = (one.path for one in result.artifacts if one.format == "onnx")
    return onnx.load(path)


def _interpreter(result: foldbn.Conversion) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    (path,) = (one.path for one in result.artifacts if one.format == "tflite")
    return Interpreter(model_path=path)


def test_artifacts(converted, two_ports):
    """Both files are there under the model's stem, as large and with the hash that is told."""
    assert [artifact.format for artifact in converted.artifacts] == ["onnx", "tflite"]
    for artifact in converted.artifacts:
        path = Path(artifact.path)
        assert path.name == f"two_ports.{artifact.format}"
        content = path.read_bytes()
        assert artifact.bytes == artifact.size.after == len(content)
        assert artifact.sha256 == hashlib.sha256(content).hexdigest()
        assert artifact.nodes.after == sum(artifact.ops.values())
        assert artifact.params.after <= artifact.params.before
        assert artifact.verification.passed
    assert names(Path(converted.artifacts[0].path).parent) == {
        "two_ports.onnx",
        "two_ports.tflite",
    }
    assert converted.source.path == str(two_ports)
    assert converted.artifacts[0].nodes.before > converted.artifacts[0].nodes.after
    assert converted.benchmark == ()
    assert set(converted.timings_s) == {"load", "fold", "verify", "export"}


def test_names_in_onnx(converted):
    """ONNX inputs and outputs are called what the model calls them."""
    graph = _onnx(converted).graph
    assert [value.name for value in graph.input] == ["left", "right"]
    assert [value.name for value in graph.output] == ["sum", "kind"]


def test_names_in_tflite(converted):
    """TFLite has one signature, with the model's own names."""
    signatures = _interpreter(converted).get_signature_list()
    assert list(signatures) == ["serving_default"]
    assert sorted(signatures["serving_default"]["inputs"]) == ["left", "right"]
    assert sorted(signatures["serving_default"]["outputs"]) == ["kind", "sum"]


def test_onnx_is_valid(converted):
    """The checker accepts the file, and its opset is the default one."""
    proto = _onnx(converted)
    onnx.checker.check_model(proto, full_check=True)
    assert {each.domain: each.version for each in proto.opset_import}[""] == 18


def test_onnx_metadata(converted, two_ports):
    """The file says which model and foldbn it comes from, and nothing of place or time."""
    proto = _onnx(converted)
    properties = {each.key: each.value for each in proto.metadata_props}
    assert properties == {
        "foldbn.version": foldbn.__version__,
        "foldbn.source_sha256": hashlib.sha256(two_ports.read_bytes()).hexdigest(),
        "foldbn.affine_layers": "2",
        "foldbn.folded": "2",
        "foldbn.merged": "0",
        "foldbn.lowered": "0",
        "foldbn.kept": "0",
    }
    content = proto.SerializeToString()
    assert str(two_ports.parent).encode() not in content
    assert os.fsencode(Path.home()) not in content
    assert (proto.producer_name, proto.producer_version) == ("foldbn", foldbn.__version__)


def _onnx_batch(result: foldbn.Conversion) -> set[int | str]:
    graph = _onnx(result).graph
    dims = [v.type.tensor_type.shape.dim[0] for v in (*graph.input, *graph.output)]
    return {dim.dim_param or dim.dim_value for dim in dims}


def _tflite_batch(result: foldbn.Conversion) -> set[int]:
    details = _interpreter(result).get_input_details()
    return {int(detail["shape_signature"][0]) for detail in details}


def test_default_batch_size(converted):
    """The batch axis is dynamic in ONNX and 1 in TFLite."""
    assert _onnx_batch(converted) == {"batch"}
    assert _tflite_batch(converted) == {1}


@pytest.mark.parametrize(
    ("size", "in_onnx", "in_tflite"), [(4, 4, 4), ("dynamic", "batch", -1)], ids=["4", "dynamic"]
)
def test_batch_size(two_ports, tmp_path, size, in_onnx, in_tflite):
    """A batch size holds for both formats."""
    result = convert(two_ports, tmp_path, batch_size=size)
    assert _onnx_batch(result) == {in_onnx}
    assert _tflite_batch(result) == {in_tflite}
    assert all(artifact.verification.passed for artifact in result.artifacts)


@pytest.mark.parametrize("opset", [13, 15, 17])
def test_opset(two_ports, tmp_path, opset):
    """The opset asked for is the one that is written."""
    proto = _onnx(convert(two_ports, tmp_path, to=("onnx",), opset=opset))
    assert {each.domain: each.version for each in proto.opset_import}[""] == opset


def test_one_format(two_ports, tmp_path):
    """Only the format asked for is written, once."""
    result = convert(two_ports, tmp_path, to=("tflite", "tflite"))
    assert [artifact.format for artifact in result.artifacts] == ["tflite"]
    assert names(tmp_path) == {"two_ports.tflite"}


def test_beside_the_model(two_ports, tmp_path):
    """Without a folder the artefacts go beside the model."""
    model = tmp_path / "model.v1.keras"
    model.write_bytes(two_ports.read_bytes())
    foldbn.convert(model, bench=False)
    assert names(tmp_path) == {"model.v1.keras", "model.v1.onnx", "model.v1.tflite"}
    assert model.read_bytes() == two_ports.read_bytes()


def test_saved_model(networks, tmp_path):
    """The artefacts of a SavedModel have the name of its folder."""
    convert(networks / "mlp_bn_after_savedmodel", tmp_path, to=("onnx",))
    assert names(tmp_path) == {"mlp_bn_after_savedmodel.onnx"}


def test_same_bytes_in_every_process(networks, tmp_path):
    """Two processes write the same bytes for the same model."""
    contents = []
    for folder in (tmp_path / "first", tmp_path / "second"):
        command = [sys.executable, "-m", "foldbn", "convert", "--no-bench", "-q", "-o", folder]
        subprocess.run([*command, networks / "cnn_bn_before.h5"], check=True, capture_output=True)
        contents.append([(folder / f"cnn_bn_before.{kind}").read_bytes() for kind in KINDS])
    assert contents[0][0] == contents[1][0]
    assert contents[0][1] == contents[1][1]


KINDS = ("onnx", "tflite")


def test_phases(two_ports, tmp_path):
    """Each phase is told as it begins."""
    told = []
    convert(two_ports, tmp_path, to=("onnx",), notify=lambda *event: told.append(event))
    phases = [detail for event, detail in told if event == "phase"]
    assert phases == ["load", "fold", "verify", "export", "verify"]
    assert names(tmp_path) == {"two_ports.onnx"}


def test_an_output_of_truth_values(tmp_path):
    """What a model decides is compared as what it is."""
    import keras

    x = keras.Input((5,), name="x")
    y = keras.layers.BatchNormalization(name="bn")(keras.layers.Dense(3)(x))
    model = randomise(keras.Model(x, keras.ops.greater(y, 0.1)))
    model.save(tmp_path / "m.keras")
    result = convert(tmp_path / "m.keras", tmp_path)
    assert [artifact.verification.passed for artifact in result.artifacts] == [True, True]
    assert result.summary.folded == 1
