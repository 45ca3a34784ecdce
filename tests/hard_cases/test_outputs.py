"""Hard case 22: an artefact in the place of a file that is there."""

from __future__ import annotations

import shutil

import pytest

import foldbn
from foldbn.errors import OutputExists, OutputIsInput


def test_22_the_model_is_no_target(networks, tmp_path):
    """A model in the place of an artefact is not replaced, not even with overwriting on."""
    content = (networks / "bn_axis_1.h5").read_bytes()
    model = tmp_path / "model.tflite"
    model.write_bytes(content)
    for overwrite in (False, True):
        with pytest.raises(OutputIsInput) as caught:
            foldbn.convert(model, bench=False, overwrite=overwrite)
        assert caught.value.exit_code == 2
    assert model.read_bytes() == content
    assert [path.name for path in tmp_path.iterdir()] == ["model.tflite"]


def test_22_existing_output(networks, tmp_path):
    """An artefact that exists is not replaced unless the user says so."""
    there = tmp_path / "bn_axis_1.onnx"
    there.write_bytes(b"precious")
    with pytest.raises(OutputExists, match="exists") as caught:
        foldbn.convert(networks / "bn_axis_1.h5", output_dir=tmp_path, bench=False)
    assert caught.value.exit_code == 2
    assert there.read_bytes() == b"precious"


def test_22_a_dangling_link_is_there(networks, tmp_path):
    """A link that leads nowhere is an output that exists; overwriting replaces the link alone."""
    link = tmp_path / "bn_axis_1.onnx"
    link.symlink_to(tmp_path / "elsewhere" / "file")
    options = {"output_dir": tmp_path, "to": ("onnx",), "bench": False}
    with pytest.raises(OutputExists, match="exists"):
        foldbn.convert(networks / "bn_axis_1.h5", **options)
    assert link.is_symlink()
    foldbn.convert(networks / "bn_axis_1.h5", overwrite=True, **options)
    assert link.is_file()
    assert not link.is_symlink()
    assert [path.name for path in tmp_path.iterdir()] == [link.name]


def test_22_a_model_called_original(networks, tmp_path):
    """No file of foldbn's own takes the place of an artefact, whatever the model is called."""
    model = tmp_path / "original.h5"
    shutil.copy(networks / "bn_axis_1.h5", model)
    result = foldbn.convert(model, to=("onnx",), providers=["cpu"])
    import onnx

    graph = onnx.load(result.artifacts[0].path).graph
    assert len(graph.node) == result.artifacts[0].nodes.after < result.artifacts[0].nodes.before
    assert {path.name for path in tmp_path.iterdir()} == {"original.h5", "original.onnx"}
