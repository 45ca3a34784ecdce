"""Weights of an ONNX file in files beside it: read where they may lie, refused elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest

import foldbn
from foldbn.errors import FoldbnError, Unreadable, Unsafe


@pytest.fixture(scope="module")
def exported(networks, tmp_path_factory) -> Path:
    """Return the ONNX file of a small network."""
    folder = tmp_path_factory.mktemp("exported")
    foldbn.convert(networks / "bn_axis_1.h5", output_dir=folder, to=("onnx",), bench=False)
    return folder / "bn_axis_1.onnx"


def with_data_in(exported: Path, folder: Path, location: str, **entries: str) -> Path:
    """Write a copy of an ONNX file whose largest weight lies in ``data.bin``, as `location`."""
    proto = onnx.load(exported)
    tensor = max(proto.graph.initializer, key=lambda each: len(each.raw_data))
    folder.mkdir(exist_ok=True)
    (folder / "data.bin").write_bytes(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=value)
    path = folder / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def test_data_beside_the_file_is_read(networks, exported, tmp_path):
    """Weights in a file beside the ONNX file are part of it, whatever the current folder."""
    path = with_data_in(exported, tmp_path / "a", "data.bin", offset="0")
    (verdict,) = foldbn.verify(networks / "bn_axis_1.h5", [path]).artifacts
    assert verdict.verification.passed
    (row,) = foldbn.bench([path], providers=["cpu"]).benchmark
    assert row.format == "onnx"


def _link(folder: Path) -> None:
    (folder / "data.bin").rename(folder.parent / "elsewhere.bin")
    (folder / "data.bin").symlink_to("../elsewhere.bin")


def _linked_folder(folder: Path) -> None:
    (folder / "sub").symlink_to(folder.parent, target_is_directory=True)


def _cut(folder: Path) -> None:
    content = (folder / "data.bin").read_bytes()
    (folder / "data.bin").write_bytes(content[:-1])


def _remove(folder: Path) -> None:
    (folder / "data.bin").unlink()


def _folder(folder: Path) -> None:
    (folder / "data.bin").unlink()
    (folder / "data.bin").mkdir()


def _nothing(_folder: Path) -> None:
    pass


ELSEWHERE: dict[str, tuple[str, dict[str, str], Any, type[FoldbnError], str]] = {
    "above": ("../a/data.bin", {}, _nothing, Unsafe, "outside its folder"),
    "above from below": ("sub/../../a/data.bin", {}, _nothing, Unsafe, "outside its folder"),
    "absolute": ("/etc/passwd", {}, _nothing, Unsafe, "outside its folder"),
    "nowhere": ("", {}, _nothing, Unsafe, "outside its folder"),
    "a link": ("data.bin", {}, _link, Unsafe, "behind a link"),
    "below a link": ("sub/elsewhere.bin", {}, _linked_folder, Unsafe, "behind a link"),
    "missing": ("data.bin", {}, _remove, Unreadable, "which is no file"),
    "a folder": ("data.bin", {}, _folder, Unreadable, "which is no file"),
    "short": ("data.bin", {"length": "3136"}, _cut, Unreadable, "bytes"),
    "behind the end": ("data.bin", {"offset": "999999999"}, _nothing, Unreadable, "wants 999,"),
    "before the start": ("data.bin", {"offset": "-8"}, _nothing, Unreadable, "at no place"),
    "no number": ("data.bin", {"length": "x"}, _nothing, Unreadable, "at no place"),
}


@pytest.mark.parametrize(
    ("location", "entries", "spoil", "kind", "words"), ELSEWHERE.values(), ids=ELSEWHERE
)
def test_27_data_that_lies_elsewhere(  # noqa: PLR0917 - the columns of the table above
    networks, exported, tmp_path, location, entries, spoil, kind, words
):
    """What lies outside, behind a link, nowhere or is cut off is refused by both commands."""
    path = with_data_in(exported, tmp_path / "a", location, **entries)
    if "length" in entries and entries["length"].isdecimal():
        entries["length"] = str((path.parent / "data.bin").stat().st_size)
        path = with_data_in(exported, tmp_path / "a", location, **entries)
    spoil(path.parent)
    for use in (
        lambda: foldbn.verify(networks / "bn_axis_1.h5", [path]),
        lambda: foldbn.bench([path], providers=["cpu"]),
    ):
        with pytest.raises(kind, match=words) as caught:
            use()
        assert caught.value.exit_code == 3
