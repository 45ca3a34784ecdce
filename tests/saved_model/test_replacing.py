"""What is in the place of the directory, and what is left after a failure."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

import foldbn
from foldbn.errors import ConversionFailed, OutputExists, OutputIsInput, WriteFailed
from foldbn.export import staging
from tests.saved_model.directories import KIND, convert, entries_of, files_in


def _old(folder: Path, name: str = "two_ports.savedmodel") -> Path:
    """Put something into the artefact's place that looks like a SavedModel."""
    target = folder / name
    target.mkdir()
    (target / "saved_model.pb").write_bytes(b"old")
    return target


def test_existing_directory_is_kept(path, tmp_path):
    """A SavedModel that exists stops the conversion before it begins."""
    target = _old(tmp_path)
    with pytest.raises(OutputExists, match=r"two_ports\.savedmodel' exists"):
        convert(path, tmp_path)
    assert files_in(target) == {"saved_model.pb": b"old"}


def test_overwrite(path, tmp_path):
    """It is replaced as a whole when the user says so."""
    target = _old(tmp_path)
    (target / "more").write_bytes(b"old")
    convert(path, tmp_path, overwrite=True)
    assert entries_of(tmp_path) == {"two_ports.savedmodel"}
    assert not (target / "more").exists()
    assert foldbn.inspect(target).summary.affine_layers == 0


def test_overwrite_through_a_link(path, tmp_path):
    """A link in the artefact's place is replaced, and what it leads to is left alone."""
    elsewhere = _old(tmp_path, "elsewhere")
    (tmp_path / "two_ports.savedmodel").symlink_to(elsewhere)
    convert(path, tmp_path, overwrite=True)
    assert not (tmp_path / "two_ports.savedmodel").is_symlink()
    assert files_in(elsewhere) == {"saved_model.pb": b"old"}


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_overwrite_replaces_only_a_saved_model(path, tmp_path, kind):
    """What is no SavedModel is not replaced, whatever the user says."""
    target = tmp_path / "two_ports.savedmodel"
    if kind == "folder":
        target.mkdir()
        (target / "thesis.txt").write_text("years of work")
    else:
        target.write_text("years of work")
    with pytest.raises(OutputExists, match="is no SavedModel") as caught:
        convert(path, tmp_path, overwrite=True)
    assert caught.value.exit_code == 2
    assert target.is_file() or entries_of(target) == {"thesis.txt"}


@pytest.mark.parametrize("failing", ["aside", "into place"])
def test_the_old_one_comes_back(path, tmp_path, monkeypatch, failing):
    """When the new directory cannot take its place, the old one has it again."""
    target = _old(tmp_path)
    rename, calls = Path.rename, []

    def fail(self: Path, other: Path) -> Path:
        calls.append(self)
        if len(calls) == ("aside", "into place").index(failing) + 1:
            raise OSError(28, "No space left on device")
        return rename(self, other)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(WriteFailed, match="No space left on device"):
        convert(path, tmp_path, overwrite=True)
    assert entries_of(tmp_path) == {"two_ports.savedmodel"}
    assert files_in(target) == {"saved_model.pb": b"old"}


def test_nothing_is_left_after_a_failure(path, tmp_path, monkeypatch):
    """A disk that is full while the files go down to it leaves nothing behind."""

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(staging.os, "fsync", full)
    with pytest.raises(WriteFailed, match="No space left on device") as caught:
        convert(path, tmp_path / "a" / "b")
    assert caught.value.exit_code == 4
    assert entries_of(tmp_path) == set()


def test_tensorflow_cannot_write(path, tmp_path, monkeypatch):
    """What TensorFlow stumbles over is an error of the conversion."""
    import tensorflow as tf

    def refuse(*_arguments: Any, **_options: Any) -> None:
        raise tf.errors.ResourceExhaustedError(None, None, "disk full")

    monkeypatch.setattr(tf.saved_model, "save", refuse)
    with pytest.raises(ConversionFailed, match="disk full") as caught:
        convert(path, tmp_path / "out")
    assert caught.value.exit_code == 4
    assert entries_of(tmp_path) == set()


def test_the_model_is_never_replaced(several, path, tmp_path):
    """Neither the model in the artefact's place is replaced nor a folder with the model in it."""
    model = tmp_path / "model.savedmodel"
    shutil.copytree(several, model)
    before = files_in(model)
    for output in (None, tmp_path / ".", tmp_path / "model.savedmodel" / ".."):
        with pytest.raises(OutputIsInput, match="is the model itself"):
            foldbn.convert(model, output_dir=output, to=KIND, overwrite=True, bench=False)
    assert files_in(model) == before
    inside = _old(tmp_path) / "two_ports.keras"
    inside.write_bytes(path.read_bytes())
    with pytest.raises(OutputIsInput, match="the model is inside"):
        convert(inside, tmp_path, overwrite=True)
    assert inside.exists()


def test_beside_a_saved_model(several, tmp_path):
    """A directory without the suffix keeps its place; the artefact goes beside it."""
    shutil.copytree(several, tmp_path / "coder")
    before = files_in(tmp_path / "coder")
    foldbn.convert(tmp_path / "coder", to=KIND, signature="decode", bench=False)
    assert entries_of(tmp_path) == {"coder", "coder.savedmodel"}
    assert files_in(tmp_path / "coder") == before
