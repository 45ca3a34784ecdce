"""What is no model that foldbn reads says what it is, and what to do with it."""

from __future__ import annotations

import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from foldbn.errors import Unreadable
from foldbn.frontends.sniff import sniff


def _refused(path: Path) -> Unreadable:
    with pytest.raises(Unreadable) as caught:
        sniff(path)
    assert caught.value.exit_code == 3
    assert caught.value.hint
    return caught.value


def _topology() -> bytes:
    import keras

    return keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]).to_json().encode()


def _array() -> bytes:
    import io

    file = io.BytesIO()
    np.save(file, np.ones(3))
    return file.getvalue()


FILES = {
    "pickle": (lambda: pickle.dumps({"w": 1}), "is a Python pickle, which foldbn does not open"),
    "architecture": (_topology, "is the architecture of a Keras model as JSON"),
    "YAML": (
        lambda: b"class_name: Model\nconfig:\n",
        "is the architecture of a Keras model as YAML",
    ),
    "TensorFlow.js": (lambda: json.dumps({"modelTopology": {}}).encode(), "TensorFlow.js model"),
    "other JSON": (lambda: b'{"a": 1}', "is a JSON file, but no Keras model"),
    "TFLite": (lambda: b"\x1c\0\0\0TFL3" + bytes(50), "is a TensorFlow Lite model"),
    "gzip": (lambda: b"\x1f\x8b\x08" + bytes(20), "is a gzip archive"),
    "array": (_array, "is a NumPy array"),
    "LFS": (lambda: b"version https://git-lfs.github.com/spec/v1\noid x\n", "pointer of Git LFS"),
    "web page": (lambda: b"<!DOCTYPE html>\n<html>", "is a web page"),
    "checkpoint": (lambda: b'model_checkpoint_path: "model.ckpt-1"\n', "which checkpoint is the"),
    "text": (lambda: b"hello, world", "is neither HDF5 nor a .keras archive: it begins with 68 65"),
    "broken JSON": (lambda: b'{"a": ', "is neither HDF5 nor a .keras archive"),
    "deep JSON": (lambda: b'{"a":' * 100_000, "is neither HDF5 nor a .keras archive"),
}


@pytest.mark.parametrize("suffix", [".h5", ""])
@pytest.mark.parametrize(("content", "words"), FILES.values(), ids=FILES)
def test_file(tmp_path, content, words, suffix):
    """A file is told by its content, whatever its suffix."""
    path = tmp_path / f"model{suffix}"
    path.write_bytes(content())
    assert words in _refused(path).message


def test_onnx(tmp_path):
    """An ONNX model is what foldbn writes, not what it reads."""
    from onnx import TensorProto, helper, save

    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    node = helper.make_node("Relu", ["x"], ["y"])
    model = helper.make_model(helper.make_graph([node], "g", ports[:1], ports[1:]))
    save(model, tmp_path / "m.onnx")
    error = _refused(tmp_path / "m.onnx")
    assert "is an ONNX model" in error.message
    assert "foldbn verify" in error.hint


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    """Return the prefix of a checkpoint of TensorFlow."""
    import tensorflow as tf

    return Path(tf.train.Checkpoint(w=tf.Variable([1.0])).save(str(tmp_path / "ckpt" / "model")))


def test_checkpoint(checkpoint):
    """A checkpoint is told by each of its files, by what they begin with, and by its folder."""
    names = ("model-1.index", "model-1.data-00000-of-00001", "model-1")
    for path in [*(checkpoint.with_name(name) for name in names), checkpoint.parent]:
        assert "TensorFlow checkpoint" in _refused(path).message
    assert "load_weights()" in _refused(checkpoint).hint


def test_part_of_a_saved_model(networks):
    """A file out of a SavedModel names the folder to give."""
    folder = networks / "mlp_bn_after_savedmodel"
    error = _refused(folder / "saved_model.pb")
    assert "is a part of a SavedModel" in error.message
    assert str(folder) in error.hint
    assert (
        "index of a TensorFlow checkpoint" in _refused(folder / "variables/variables.index").message
    )


ZIPS = {
    "PyTorch": ("archive/data.pkl", "is a PyTorch model"),
    "SavedModel": ("m/saved_model.pb", "is a zip archive of a SavedModel"),
    "arrays": ("arr_0.npy", "is an archive of NumPy arrays"),
}


@pytest.mark.parametrize(("member", "words"), ZIPS.values(), ids=ZIPS)
def test_zip(tmp_path, member, words):
    """A zip archive is told by its members."""
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
        archive.writestr(member, b"x")
    assert words in _refused(tmp_path / "m.keras").message


FOLDERS = {
    "empty": ((), "it is empty"),
    "no graph": (("variables/variables.index",), "is a SavedModel whose graph is missing"),
    "unpacked": (("config.json", "model.weights.h5"), "is an unpacked .keras archive"),
    "versions": (("1/saved_model.pb", "2/saved_model.pb"), "it holds models"),
    "files": (("a.keras", "b.h5"), "it holds models"),
    "TensorFlow.js": (("model.json", "group1-shard1of1.bin"), "it holds a TensorFlow.js model"),
    "in pieces": (("saved_model.cpb",), "in pieces"),
    "others": (("a.txt", "b.txt"), "it holds 'a.txt', 'b.txt'"),
}


@pytest.mark.parametrize(("files", "words"), FOLDERS.values(), ids=FOLDERS)
def test_folder(tmp_path, files, words):
    """A folder without saved_model.pb is told by what is in it."""
    folder = tmp_path / "model"
    folder.mkdir()
    for name in files:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"x")
    assert words in _refused(folder).message


def test_folder_of_models_names_them(tmp_path):
    """Whoever gives the folder above the model is told its name."""
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"x")
    assert str(tmp_path / "1") in _refused(tmp_path).hint
