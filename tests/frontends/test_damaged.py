"""Files that break off a loader in the middle of its work are damaged files, not bugs of foldbn."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import h5py
import pytest

import foldbn
from foldbn.errors import Unreadable


def _heap(path: Path) -> None:
    """Spoil where HDF5 keeps the texts of the attributes."""
    content = path.read_bytes()
    assert b"GCOL" in content
    path.write_bytes(content.replace(b"GCOL", b"XXXX"))


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
    "spoil", [_heap, _list_for_a_name, _list_for_a_class], ids=lambda spoil: spoil.__name__[1:]
)
def test_keras_file(networks, tmp_path, spoil):
    """A Keras file whose parts are not what they should be is exit 3, and named."""
    path = Path(shutil.copy(networks / "bn_axis_1.h5", tmp_path / "model.h5"))
    spoil(path)
    with pytest.raises(foldbn.FoldbnError) as caught:
        foldbn.inspect(path)
    assert caught.value.exit_code == 3
    assert "model.h5" in caught.value.message


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
