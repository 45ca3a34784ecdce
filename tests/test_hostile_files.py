"""Keras files that name code or other files, or declare more than they hold: refused unopened."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import stat
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

import foldbn
from foldbn.errors import FoldbnError, Unreadable, Unsafe, Unsupported


@pytest.fixture
def model_h5(networks, tmp_path) -> Path:
    """Return a copy of an .h5 model that a test may spoil."""
    return Path(shutil.copy(networks / "bn_axis_1.h5", tmp_path / "model.h5"))


@pytest.fixture
def model_zip(networks, tmp_path) -> Path:
    """Return a copy of a .keras model that a test may spoil."""
    return Path(shutil.copy(networks / "transfer.keras", tmp_path / "model.keras"))


def refused(path: Path, kind: type[FoldbnError], words: str) -> None:
    """Assert that `path` is refused with exit code 3, and that nothing new lies beside it."""
    before = {p: p.stat().st_mtime_ns for p in path.parent.rglob("*")}
    with pytest.raises(kind, match=words) as caught:
        foldbn.convert(path, bench=False)
    assert caught.value.exit_code == 3
    assert {p: p.stat().st_mtime_ns for p in path.parent.rglob("*")} == before


def reconfigured(path: Path, change: Any) -> None:
    """Let `change` edit the configuration of the model at `path`."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        config = json.loads(members["config.json"])
        change(config)
        members["config.json"] = json.dumps(config).encode()
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        return
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        change(config)
        file.attrs["model_config"] = json.dumps(config)


def added(layer: dict[str, Any]) -> Any:
    """Return a change that puts a layer behind the first one of a model."""
    return lambda config: config["config"]["layers"].insert(1, layer)


def serialized(kind: str, module: str | None = "keras.layers", **config: Any) -> dict[str, Any]:
    """Return what Keras writes for a layer."""
    return {"class_name": kind, "module": module, "config": {"name": "evil", **config}}


LAMBDA = serialized("Lambda", function={"class_name": "__lambda__", "config": {"code": "4wEA"}})
NESTED = {"class_name": "Sequential", "config": {"name": "inner", "layers": [LAMBDA]}}
CODE = {
    "Lambda": (LAMBDA, "Lambda"),
    "Lambda in a nested model": (NESTED, "Lambda"),
    "Lambda in TimeDistributed": (serialized("TimeDistributed", layer=LAMBDA), "Lambda"),
    "TFSMLayer": (serialized("TFSMLayer", filepath="/elsewhere/model"), "another SavedModel"),
    "TorchModuleWrapper": (serialized("TorchModuleWrapper", module="gANj"), "pickled"),
    "vocabulary file": (serialized("StringLookup", vocabulary="/etc/passwd"), "vocabulary file"),
    "vocabulary address": (
        serialized("TextVectorization", vocabulary="http://localhost/words"),
        "vocabulary file",
    ),
    "get_file": (
        serialized(
            "Activation",
            activation={"class_name": "function", "config": "get_file", "module": "keras.utils"},
        ),
        "get_file",
    ),
    "read_file": (serialized("read_file", "tensorflow.io"), "outside the model"),
    "os.system": (serialized("system", "os"), r"names os\.system, .* outside the model"),
    "function of os": (
        serialized(
            "Activation",
            activation={"class_name": "function", "config": "system", "module": "os"},
        ),
        r"names os\.system, .* outside the model",
    ),
}
STRANGERS = {
    "exec": serialized(
        "Activation",
        activation={"class_name": "function", "config": "exec", "module": "builtins"},
    ),
    "somebody's": serialized("Secret", "their_layers"),
}


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
@pytest.mark.parametrize(("layer", "words"), CODE.values(), ids=CODE)
def test_01_to_03_code_and_files_named_by_a_layer(model_h5, model_zip, suffix, layer, words):
    """A layer that would run stored code or open a file is refused before Keras sees it."""
    path = {".h5": model_h5, ".keras": model_zip}[suffix]
    reconfigured(path, added(layer))
    refused(path, Unsafe, words)


class Watch:
    """Sees whether a file is opened, by Python or by C++."""

    _OPEN = 0x20  # IN_OPEN of inotify(7)

    def __init__(self, path: Path) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = libc.inotify_init1(os.O_NONBLOCK)
        assert libc.inotify_add_watch(self._descriptor, os.fsencode(path), self._OPEN) >= 0

    def saw(self) -> bool:
        """Return whether the file was opened since the last time."""
        try:
            return bool(os.read(self._descriptor, 4096))
        except BlockingIOError:
            return False


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
@pytest.mark.parametrize("kind", ["StringLookup", "IntegerLookup", "TextVectorization"])
def test_03_a_vocabulary_is_not_opened(model_h5, model_zip, tmp_path, suffix, kind):
    """A vocabulary that lies in a file stays unread."""
    words = tmp_path / "words.txt"
    words.write_text("1\n2\n")
    path = {".h5": model_h5, ".keras": model_zip}[suffix]
    reconfigured(path, added(serialized(kind, vocabulary=str(words))))
    watch = Watch(words)
    refused(path, Unsafe, "vocabulary file")
    assert not watch.saw()
    words.read_text()
    assert watch.saw()


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
@pytest.mark.parametrize("layer", STRANGERS.values(), ids=STRANGERS)
def test_02_callables_of_other_modules(model_h5, model_zip, suffix, layer):
    """What neither Keras nor the user has defined is not imported, whatever the file says."""
    path = {".h5": model_h5, ".keras": model_zip}[suffix]
    reconfigured(path, added(layer))
    refused(path, Unsupported, "does not know")


def _external(file: h5py.File) -> None:
    file["elsewhere"] = h5py.ExternalLink("other.h5", "/weights")


def _soft(file: h5py.File) -> None:
    file["elsewhere"] = h5py.SoftLink("/model_weights")


def _two_names(file: h5py.File) -> None:
    file["model_weights/again"] = file["model_weights"]


def _virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "data", (4,))
    file.create_virtual_dataset("virtual", layout)


def _outside(file: h5py.File) -> None:
    file.create_dataset("raw", (4,), "f4", external=[("raw.bin", 0, 16)])


def _hollow(file: h5py.File) -> None:
    file.create_dataset("hollow", (2**20, 2**20), "f4", chunks=(1024, 1024))


def _deep(file: h5py.File) -> None:
    group = file
    for _ in range(100):
        group = group.create_group("g")


HDF5 = {
    "external link": (_external, "link to another place"),
    "soft link": (_soft, "link to another place"),
    "cycle": (_two_names, "under two names"),
    "virtual dataset": (_virtual, "virtual dataset"),
    "external storage": (_outside, "in another file"),
    "declared and not stored": (_hollow, "declares 4,398,0"),
    "nested": (_deep, "groups deep"),
}


@pytest.mark.parametrize(("spoil", "words"), HDF5.values(), ids=HDF5)
def test_04_hdf5_that_reaches_outside(model_h5, spoil, words):
    """Links, virtual and external datasets are refused, and so is what is only declared."""
    with h5py.File(model_h5, "r+") as file:
        spoil(file)
    refused(model_h5, Unsafe, words)


def test_04_hdf5_inside_a_zip(model_zip, tmp_path):
    """The weights inside a .keras archive are looked at in the same way."""
    weights = tmp_path / "weights" / "model.weights.h5"
    weights.parent.mkdir()
    with zipfile.ZipFile(model_zip) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    weights.write_bytes(members["model.weights.h5"])
    with h5py.File(weights, "r+") as file:
        _external(file)
    members["model.weights.h5"] = weights.read_bytes()
    with zipfile.ZipFile(model_zip, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    refused(model_zip, Unsafe, "link to another place")


def _above(archive: zipfile.ZipFile) -> None:
    archive.writestr("../outside.txt", "x")


def _absolute(archive: zipfile.ZipFile) -> None:
    archive.writestr("/elsewhere/outside.txt", "x")


def _link(archive: zipfile.ZipFile) -> None:
    member = zipfile.ZipInfo("assets/link")
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive.writestr(member, "/etc/passwd")


def _twice(archive: zipfile.ZipFile) -> None:
    archive.writestr("config.json", "{}")


def _bomb(archive: zipfile.ZipFile) -> None:
    zeros = np.zeros(2**27, np.uint8).tobytes()
    archive.writestr("assets/zeros", zeros, zipfile.ZIP_DEFLATED)


ZIP = {
    "above": (_above, "outside itself"),
    "absolute": (_absolute, "outside itself"),
    "link": (_link, "symbolic link"),
    "duplicate": (_twice, "two members"),
    "bomb": (_bomb, "declares"),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(("spoil", "words"), ZIP.values(), ids=ZIP)
def test_05_zip_that_reaches_outside(model_zip, spoil, words):
    """Members that would land elsewhere, repeat, or unpack to a thousand times are refused."""
    with zipfile.ZipFile(model_zip, "a") as archive:
        spoil(archive)
    refused(model_zip, Unsafe, words)
    assert not (model_zip.parent.parent / "outside.txt").exists()


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_configuration_nested_without_end(model_h5, model_zip, suffix):
    """A configuration as deep as a well is refused, not followed to the bottom."""
    path = {".h5": model_h5, ".keras": model_zip}[suffix]
    deep: Any = {}
    for _ in range(300):
        deep = {"layer": deep}
    reconfigured(path, added(serialized("Dense", deep=deep)))
    refused(path, Unreadable, "nested beyond reason")
