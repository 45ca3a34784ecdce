"""Where artefacts go, and the files there that they never replace."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

import foldbn
from foldbn.errors import OutputExists, OutputIsInput, UsageError
from tests.convert.untimed import convert, names


def test_dry_run(two_ports, tmp_path):
    """A dry run proves the algebra, says what it would write, and writes nothing."""
    folder = tmp_path / "new"
    result = convert(two_ports, folder, dry_run=True)
    assert not folder.exists()
    assert result.dry_run
    assert result.artifacts == ()
    assert result.would_write == (str(folder / "two_ports.onnx"), str(folder / "two_ports.tflite"))
    assert result.verification.algebra.checked
    assert result.summary.folded == 2


def test_existing_files_are_kept(two_ports, tmp_path):
    """An artefact that exists stops the conversion before it begins."""
    there = tmp_path / "two_ports.tflite"
    there.write_bytes(b"old")
    with pytest.raises(OutputExists, match=r"two_ports\.tflite' exists") as caught:
        convert(two_ports, tmp_path)
    assert caught.value.exit_code == 2
    assert there.read_bytes() == b"old"
    assert names(tmp_path) == {"two_ports.tflite"}


def test_overwrite(two_ports, tmp_path):
    """Existing artefacts are replaced when the user says so."""
    there = tmp_path / "two_ports.onnx"
    there.write_bytes(b"old")
    convert(two_ports, tmp_path, to=("onnx",), overwrite=True)
    onnx.checker.check_model(onnx.load(there))
    assert names(tmp_path) == {"two_ports.onnx"}


def test_overwrite_replaces_no_folder(two_ports, tmp_path):
    """A folder in an artefact's place is not replaced."""
    (tmp_path / "two_ports.onnx").mkdir()
    with pytest.raises(OutputExists, match="is a directory"):
        convert(two_ports, tmp_path, overwrite=True)


def _same_name(model: Path, folder: Path) -> tuple[Path, Path | None]:
    """Have the model itself where the artefact goes."""
    target = folder / "model.onnx"
    target.write_bytes(model.read_bytes())
    return target, None


def _dotted(model: Path, folder: Path) -> tuple[Path, Path | None]:
    path, _ = _same_name(model, folder)
    return folder / "." / "model.onnx", path.parent / ".." / path.parent.name


def _elsewhere(model: Path, folder: Path) -> Path:
    source = folder / "in" / "model.keras"
    source.parent.mkdir()
    source.write_bytes(model.read_bytes())
    return source


def _symlink(model: Path, folder: Path) -> tuple[Path, Path | None]:
    source = _elsewhere(model, folder)
    (folder / "model.onnx").symlink_to(source)
    return source, folder


def _hard_link(model: Path, folder: Path) -> tuple[Path, Path | None]:
    source = _elsewhere(model, folder)
    (folder / "model.onnx").hardlink_to(source)
    return source, folder


def _symlink_to_the_model(model: Path, folder: Path) -> tuple[Path, Path | None]:
    path, _ = _same_name(model, folder)
    link = folder / "model.h5"
    link.symlink_to(path)
    return link, None


def _linked_folder(model: Path, folder: Path) -> tuple[Path, Path | None]:
    path, _ = _same_name(model, folder)
    link = folder.parent / f"{folder.name}_link"
    link.symlink_to(folder, target_is_directory=True)
    return path, link


ALIASES = [_same_name, _dotted, _symlink, _hard_link, _symlink_to_the_model, _linked_folder]


@pytest.mark.parametrize("alias", ALIASES, ids=lambda make: make.__name__.strip("_"))
def test_the_model_is_never_replaced(two_ports, tmp_path, alias):
    """An artefact that would replace the model, under whatever name, is refused."""
    model, folder = alias(two_ports, tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(OutputIsInput) as caught:
        foldbn.convert(model, output_dir=folder, bench=False, overwrite=True)
    assert caught.value.exit_code == 2
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_nothing_is_written_into_a_saved_model(networks):
    """The folder of a SavedModel is no place for artefacts."""
    model = networks / "mlp_bn_after_savedmodel"
    for folder in (model, model / "variables", model / "new"):
        with pytest.raises(OutputIsInput, match="inside the model"):
            foldbn.convert(model, output_dir=folder, bench=False)
    assert not (model / "new").exists()


def test_folder_is_made(two_ports, tmp_path):
    """A missing output folder is made, its parents too."""
    folder = tmp_path / "a" / "b"
    convert(two_ports, folder, to=("onnx",))
    assert names(folder) == {"two_ports.onnx"}


@pytest.mark.parametrize("below", ["file", "file/folder"])
def test_folder_that_cannot_be_made(two_ports, tmp_path, below):
    """A file in place of the output folder is told by its name, before anything is loaded."""
    (tmp_path / "file").write_bytes(b"")
    phases = []
    with pytest.raises(UsageError, match=r"file' is a file, not a folder") as caught:
        convert(two_ports, tmp_path / below, notify=lambda *event: phases.append(event))
    assert caught.value.exit_code == 2
    assert phases == []
    assert names(tmp_path) == {"file"}
