"""A path's format is told from its content, and what is no model says so."""

from __future__ import annotations

import hashlib
import os
import shutil
import zipfile

import h5py
import pytest

from foldbn.errors import Unreadable
from foldbn.frontends.sniff import sha256_of, sniff, writer_of

FORMATS = {
    "mlp_bn_after.h5": "keras-h5",
    "mlp_bn_after.keras": "keras-zip",
    "mlp_bn_after_savedmodel": "savedmodel",
}


@pytest.mark.parametrize(("name", "kind"), FORMATS.items())
def test_format(networks, name, kind):
    """The three formats are told apart."""
    assert sniff(networks / name) == kind


@pytest.mark.parametrize("suffix", ["", ".h5", ".keras", ".model", ".hdf5", ".onnx"])
@pytest.mark.parametrize("name", ["mlp_bn_after.h5", "mlp_bn_after.keras"])
def test_suffix_does_not_matter(networks, tmp_path, name, suffix):
    """A file under another suffix is what its content says."""
    copy = tmp_path / f"model{suffix}"
    shutil.copy(networks / name, copy)
    assert sniff(copy) == FORMATS[name]


def _empty(path):
    path.write_bytes(b"")


def _noise(path):
    path.write_bytes(bytes(range(256)))


def _truncated_hdf5(path):
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(40))


def _truncated_zip(path):
    path.write_bytes(b"PK\x03\x04" + bytes(40))


def _other_zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "text")


def _weights(path):
    with h5py.File(path, "w") as file:
        file.create_group("dense")


def _folder(path):
    path.mkdir()


def _fifo(path):
    os.mkfifo(path)


def _nothing(_path):
    pass


REFUSED = {
    "empty": (_empty, "is empty"),
    "noise": (_noise, r"begins with 00 01 02"),
    "truncated HDF5": (_truncated_hdf5, "is damaged HDF5"),
    "truncated zip": (_truncated_zip, "is a damaged zip archive"),
    "another zip": (_other_zip, "no config.json"),
    "weights only": (_weights, "the architecture is missing"),
    "a folder": (_folder, "has no saved_model.pb"),
    "a FIFO": (_fifo, "neither a file nor a directory"),
    "nothing": (_nothing, "No such file"),
}


@pytest.mark.parametrize(("write", "words"), REFUSED.values(), ids=REFUSED)
def test_refused(tmp_path, write, words):
    """What is no model is refused with the true reason and a hint."""
    path = tmp_path / "model.h5"
    write(path)
    with pytest.raises(Unreadable, match=words) as caught:
        sniff(path)
    assert caught.value.exit_code == 3
    assert caught.value.hint


def test_truncated_model(networks, tmp_path):
    """A model whose second half is missing is refused as damaged."""
    for name in ("mlp_bn_after.h5", "mlp_bn_after.keras"):
        content = (networks / name).read_bytes()
        copy = tmp_path / name
        copy.write_bytes(content[: len(content) // 2])
        with pytest.raises(Unreadable, match="damaged"):
            sniff(copy)


def test_writer(networks, tmp_path):
    """The Keras version in the file is told, and nothing where there is none."""
    for name in ("mlp_bn_after.h5", "mlp_bn_after.keras"):
        assert writer_of(networks / name, FORMATS[name]).startswith("keras 3.")
    bare = tmp_path / "bare.h5"
    with h5py.File(bare, "w") as file:
        file.attrs["model_config"] = "{}"
    assert writer_of(bare, "keras-h5") is None


def test_sha256_of_a_file(networks):
    """A file's hash is that of its bytes."""
    path = networks / "mlp_bn_after.h5"
    assert sha256_of(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_sha256_of_a_folder(networks, tmp_path):
    """A folder's hash changes with a name or a byte in it, and not with its place."""
    original = networks / "mlp_bn_after_savedmodel"
    copy = tmp_path / "elsewhere"
    shutil.copytree(original, copy)
    assert sha256_of(copy) == sha256_of(original)
    extra = copy / "assets.extra"
    extra.write_text("1")
    first = sha256_of(copy)
    assert first != sha256_of(original)
    extra.rename(copy / "assets.other")
    assert sha256_of(copy) != first
