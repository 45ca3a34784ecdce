"""Malformed .tflite files: LiteRT refuses some and crashes over others; the command survives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import foldbn
from foldbn.errors import FoldbnError, RuntimeFailed
from tests.command import parsed, run


@pytest.fixture(scope="module")
def exported(networks, tmp_path_factory) -> Path:
    """Return the TFLite file of a small network."""
    folder = tmp_path_factory.mktemp("exported")
    foldbn.convert(networks / "bn_axis_1.h5", output_dir=folder, to=("tflite",), bench=False)
    return folder / "bn_axis_1.tflite"


def edited(exported: Path, folder: Path, edit: Callable[[Any], None]) -> Path:
    """Write a copy of a TFLite file after an edit of its tables."""
    import flatbuffers
    from tensorflow.lite.python import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(exported.read_bytes())
    edit(model)
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), b"TFL3")
    path = folder / "edited.tflite"
    path.write_bytes(bytes(builder.Output()))
    return path


def _unknown_tensor(model: Any) -> None:
    model.subgraphs[0].operators[0].inputs = [1000, 3]


def _unknown_operator(model: Any) -> None:
    model.subgraphs[0].operators[0].opcodeIndex = 99


def _unknown_buffer(model: Any) -> None:
    model.subgraphs[0].tensors[1].buffer = 500


def _no_inputs(model: Any) -> None:
    model.subgraphs[0].inputs = []
    model.signatureDefs[0].inputs = []


def _scalar_input(model: Any) -> None:
    model.subgraphs[0].tensors[model.subgraphs[0].inputs[0]].shape = []


def _huge_tensor(model: Any) -> None:
    model.subgraphs[0].tensors[4].shape = [2**30, 2**30]


def _cut_weights(model: Any) -> None:
    for buffer in model.buffers:
        if buffer.data is not None and len(buffer.data) > 4:
            buffer.data = buffer.data[:4]


MALFORMED = [
    _unknown_tensor,
    _unknown_operator,
    _unknown_buffer,
    _no_inputs,
    _scalar_input,
    _huge_tensor,
    _cut_weights,
]


@pytest.mark.parametrize("edit", MALFORMED, ids=lambda edit: edit.__name__.strip("_"))
def test_26_malformed_tflite(networks, exported, tmp_path, edit):
    """What LiteRT refuses is exit 3 or 4 of both commands."""
    path = edited(exported, tmp_path, edit)
    for use in (
        lambda: foldbn.verify(networks / "bn_axis_1.h5", [path]),
        lambda: foldbn.bench([path]),
    ):
        with pytest.raises(FoldbnError) as caught:
            use()
        assert caught.value.exit_code in (3, 4)


def test_26_malformed_signature(networks, exported, tmp_path):
    """A signature that names what is not there is exit 4."""

    def edit(model: Any) -> None:
        model.signatureDefs[0].inputs[0].tensorIndex = len(model.subgraphs[0].tensors)

    path = edited(exported, tmp_path, edit)
    with pytest.raises(RuntimeFailed, match="LiteRT"):
        foldbn.verify(networks / "bn_axis_1.h5", [path])


def test_26_tflite_that_crashes_its_runtime(networks, exported, tmp_path):
    """A file whose input is one of its constants makes LiteRT write where it may not.

    The worker dies of it, and the command says so.
    """

    def edit(model: Any) -> None:
        subgraph = model.subgraphs[0]
        constants = [
            index
            for index, tensor in enumerate(subgraph.tensors)
            if model.buffers[tensor.buffer].data is not None and len(tensor.shape) > 1
        ]
        subgraph.inputs = constants[:1]

    path = edited(exported, tmp_path, edit)
    finished = run("bench", path, "--json")
    assert finished.returncode == 4
    error = parsed(finished.stdout)["error"]
    assert error["id"] == "FBN045"
    assert "SIGSEGV" in error["message"]
    assert "Traceback" not in finished.stderr
    assert run("verify", networks / "bn_axis_1.h5", path).returncode in (0, 1, 3, 4)
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
