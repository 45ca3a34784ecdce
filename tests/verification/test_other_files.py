"""Files of other models, broken files among good ones, and files that are no exports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import foldbn
from foldbn.errors import RuntimeFailed, Unreadable, VerificationFailed
from foldbn.pipeline.steps import verify_own
from tests import journeys
from tests.command import parsed
from tests.journeys import randomise
from tests.test_usage import call

KINDS = ("onnx", "tflite", "savedmodel")


def _make(inputs: int, outputs: int) -> Any:
    import keras

    layers = keras.layers
    return randomise(
        keras.Sequential(
            [
                layers.Input((inputs,), name="x"),
                layers.Dense(outputs, name="y"),
                layers.BatchNormalization(name="bn"),
            ]
        )
    )


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    """Return a folder with models of 3 or 4 inputs and 2 or 5 outputs, and exports of each."""
    folder = tmp_path_factory.mktemp("models")
    for name, sizes in {"this": (3, 2), "wide": (4, 2), "long": (3, 5)}.items():
        path = folder / f"{name}.keras"
        _make(*sizes).save(path)
        foldbn.convert(path, to=KINDS, bench=False)
    return folder


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("wide", r"takes 'x' in the shape \(batch, 4\), the original \(batch, 3\)"),
        ("long", r"gives 'bn' the shape \(batch, 5\), the original \(batch, 2\)"),
    ],
)
def test_file_of_another_model(models, kind, name, words):
    """A file whose inputs or outputs have other shapes is not the original, and both are told."""
    import re

    found = foldbn.verify(models / "this.keras", [models / f"{name}.{kind}"])
    assert not found.passed
    (artifact,) = found.artifacts
    assert not artifact.verification.passed
    assert (artifact.error.id, artifact.error.exit_code) == ("FBN021", 1)
    assert re.search(words, artifact.error.message)


def _onnx(nodes: list[Any], batch: int | None, output: list[Any], path: Path) -> Path:
    """Write an ONNX file that makes ``bn`` of ``x``, three numbers a sample, by these nodes."""
    ports = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in (("x", [batch or "batch", 3]), ("bn", output))
    ]
    axes = numpy_helper.from_array(np.array([0], np.int64), "axes")
    graph = helper.make_graph(nodes, "other", ports[:1], ports[1:], [axes])
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    return path


OF_NO_SAMPLES = {
    "summed": ([helper.make_node("ReduceSum", ["x", "axes"], ["bn"])], None, [1, 3]),
    "summed, of a fixed batch": ([helper.make_node("ReduceSum", ["x", "axes"], ["bn"])], 4, [1, 3]),
    "a number": ([helper.make_node("ReduceSum", ["x"], ["bn"], keepdims=0)], None, []),
    "pairs": (
        [
            helper.make_node("Transpose", ["x"], ["turned"]),
            helper.make_node("MatMul", ["x", "turned"], ["bn"]),
        ],
        None,
        ["batch", "batch"],
    ),
}


@pytest.mark.parametrize("case", OF_NO_SAMPLES)
def test_file_of_another_leading_axis(models, tmp_path, case):
    """A file that runs, and gives something else than samples, is not the original."""
    path = _onnx(*OF_NO_SAMPLES[case], tmp_path / "other.onnx")
    found = foldbn.verify(models / "this.keras", [path])
    (artifact,) = found.artifacts
    assert not found.passed
    assert (artifact.error.id, artifact.error.exit_code) == ("FBN021", 1)
    words = "varies with the batch" if case == "pairs" else "'bn' has no batch axis"
    assert words in artifact.error.message
    assert "another model" in artifact.error.hint


def test_own_file_of_other_shapes(models):
    """Where foldbn made the file itself, no other model is to blame."""
    references = journeys.of_file(models / "this.keras").references()
    with pytest.raises(VerificationFailed, match="the original") as caught:
        verify_own(references, (models / "long.onnx").read_bytes(), "long.onnx")
    assert "another model" not in caught.value.hint
    assert "a bug in foldbn or in the exporter" in caught.value.hint


def test_command_on_a_file_of_another_model(models, capfd):
    """The command says so in its report, and in its document the file is one that failed."""
    code, out, err = call(capfd, "verify", models / "this.keras", models / "wide.onnx")
    assert code == 1, err
    assert "FAILED" in out
    assert "in the shape (batch, 4), the original (batch, 3)" in " ".join(out.split())
    code, out, _ = call(capfd, "verify", models / "this.keras", models / "wide.onnx", "--json")
    document = parsed(out)
    assert code == 1
    assert document["passed"] is document["artifacts"][0]["verification"]["passed"] is False
    assert document["artifacts"][0]["error"]["id"] == "FBN021"
    # The option says that it lists what was verified, failed or not; the exit code tells.
    quiet = call(capfd, "verify", models / "this.keras", models / "wide.onnx", "--quiet")
    assert quiet == (1, f"{models / 'wide.onnx'}\n", "")
    _, out, _ = call(capfd, "verify", "--help")
    assert "paths of the files that were run, passed or not" in " ".join(out.split())


@pytest.mark.parametrize("kind", ["onnx", "tflite"])
def test_broken_file_among_good_ones(models, tmp_path, kind):
    """What can be judged is, and the broken file has its reason beside it."""
    good, broken = models / f"this.{kind}", tmp_path / f"broken.{kind}"
    broken.write_bytes(good.read_bytes()[:-40] if kind == "onnx" else b"\0\0\0\0TFL3" + bytes(64))
    with pytest.raises((Unreadable, RuntimeFailed)) as caught:
        foldbn.verify(models / "this.keras", [broken])
    found = foldbn.verify(models / "this.keras", [broken, good])
    assert not found.passed
    assert [each.verification.passed for each in found.artifacts] == [False, True]
    assert found.artifacts[0].error.message == caught.value.message
    assert found.artifacts[0].error.exit_code == caught.value.exit_code in (3, 4)
    assert found.artifacts[1].error is None


def test_command_on_a_broken_file_among_good_ones(models, tmp_path, capfd):
    """The exit code is that of the broken file; the report has both."""
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    code, out, err = call(capfd, "verify", models / "this.keras", models / "this.onnx", broken)
    assert code == 3, err
    assert "passed" in out
    assert "'broken.onnx' is neither ONNX nor TFLite" in out


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_keras_file_as_an_export(models, tmp_path, suffix):
    """A Keras file is an original: the hint says what to do with it."""
    path = tmp_path / f"other{suffix}"
    _make(3, 2).save(path)
    with pytest.raises(Unreadable, match="neither ONNX nor TFLite, nor a SavedModel") as caught:
        foldbn.verify(models / "this.keras", [path])
    assert "foldbn convert makes ONNX and TFLite of it" in caught.value.hint


def test_file_of_more_outputs(models, tmp_path):
    """A file that gives more than the model does is not the original either."""
    import keras

    model = _make(3, 2)
    keras.Model(model.inputs, [*model.outputs, model.layers[0].output]).save(tmp_path / "m.keras")
    foldbn.convert(tmp_path / "m.keras", to=("onnx",), bench=False)
    found = foldbn.verify(models / "this.keras", [tmp_path / "m.onnx"])
    assert not found.passed
    assert "has 2 outputs (" in found.artifacts[0].error.message
    assert found.artifacts[0].error.exit_code == 1
