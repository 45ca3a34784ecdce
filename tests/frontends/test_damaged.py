"""Files that break off a loader in the middle of its work are damaged files, not bugs of foldbn."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import pytest

import foldbn
from foldbn import report
from foldbn.errors import Unreadable
from foldbn.frontends import trial


def _heap(path: Path) -> None:
    """Spoil where HDF5 keeps the texts of the attributes."""
    content = path.read_bytes()
    assert b"GCOL" in content
    path.write_bytes(content.replace(b"GCOL", b"XXXX"))


def _endless_heap(path: Path) -> None:
    """Let the free space behind the texts have no length, so that HDF5 never gets past it."""
    content = bytearray(path.read_bytes())
    at = content.index(b"GCOL") + 16
    number, _, _, length = struct.unpack_from("<HHIQ", content, at)
    while number:
        at += 16 + (length + 7) // 8 * 8
        number, _, _, length = struct.unpack_from("<HHIQ", content, at)
    struct.pack_into("<Q", content, at + 8, 0)
    path.write_bytes(content)


def _half_a_pair(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        text = file.attrs["model_config"]
        file.attrs["model_config"] = text.replace('"name": "', '"name": "\\ud800', 1)


def _list_for_a_name(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        for layer in config["config"]["layers"]:
            layer["config"]["name"] = ["a", ["list"]]
        file.attrs["model_config"] = json.dumps(config)


def _list_for_a_class(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        config["config"]["layers"][-1]["class_name"] = ["Dense"]
        file.attrs["model_config"] = json.dumps(config)


@pytest.mark.parametrize(
    "spoil",
    [_heap, _half_a_pair, _list_for_a_name, _list_for_a_class],
    ids=lambda spoil: spoil.__name__[1:],
)
def test_keras_file(networks, tmp_path, spoil):
    """A Keras file whose parts are not what they should be is exit 3, and named."""
    path = Path(shutil.copy(networks / "bn_axis_1.h5", tmp_path / "model.h5"))
    spoil(path)
    with pytest.raises(foldbn.FoldbnError) as caught:
        foldbn.inspect(path)
    assert caught.value.exit_code == 3
    assert "model.h5" in caught.value.message


def test_no_end(networks, monkeypatch, tmp_path):
    """A file that HDF5 would read for ever says so once its time is up."""
    monkeypatch.setattr(trial, "_SECONDS", 1)
    path = Path(shutil.copy(networks / "bn_axis_1.h5", tmp_path / "model.h5"))
    _endless_heap(path)
    with pytest.raises(Unreadable, match="comes to no end"):
        foldbn.inspect(path)


_UNDER_A_LIMIT = """
import resource, sys
from pathlib import Path
from foldbn.errors import Unreadable
from foldbn.frontends.trial import try_hdf5
kind, limit = getattr(resource, sys.argv[2]), int(sys.argv[3])
resource.setrlimit(kind, (limit, limit))
with Path(sys.argv[1]).open("rb") as file:
    try:
        try_hdf5(file.fileno(), "model.h5")
    except Unreadable as error:
        print(error.message)
"""


@pytest.mark.parametrize(("kind", "limit"), [("RLIMIT_DATA", 10**9), ("RLIMIT_CPU", 5)])
def test_no_end_under_a_limit(networks, tmp_path, kind, limit):
    """A process that may take little itself, by --memory-limit say, tries a file all the same."""
    path = Path(shutil.copy(networks / "bn_axis_1.h5", tmp_path / "model.h5"))
    _endless_heap(path)
    command = [sys.executable, "-c", _UNDER_A_LIMIT, str(path), kind, str(limit)]
    tried = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "comes to no end" in tried.stdout


def test_writer_in_half_a_pair(networks, tmp_path):
    """The version of the Keras that wrote a file can be any text, and is told as one."""
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(networks / "mlp_bn_after.keras") as old, zipfile.ZipFile(path, "w") as new:
        for member in old.namelist():
            spoiled = member == "metadata.json"
            content = b'{"keras_version": "3.\\ud800"}' if spoiled else old.read(member)
            new.writestr(member, content)
    result = foldbn.inspect(path)
    assert result.source.writer == "keras 3.?"
    json.loads(report.document(result))


def test_saved_model(networks, tmp_path):
    """A SavedModel whose graph TensorFlow cannot import is exit 3, and named."""
    from tensorflow.core.protobuf import saved_model_pb2

    model = tmp_path / "model"
    shutil.copytree(networks / "mlp_bn_after_savedmodel", model)
    file = model / "saved_model.pb"
    proto = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    functions = proto.meta_graphs[0].graph_def.library.function
    for function in functions:
        for node in function.node_def:
            if node.op == "MatMul":
                del node.input[0]
    file.write_bytes(proto.SerializeToString())
    with pytest.raises(Unreadable, match="model' cannot be loaded") as caught:
        foldbn.inspect(model)
    assert caught.value.hint
