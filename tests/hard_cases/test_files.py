"""Hard cases 7 to 9: what is no model, is called something else, or lacks its architecture."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import foldbn
from foldbn.errors import Unreadable
from tests.conftest import FIXTURES
from tests.hard_cases.proving import stack


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _random(path: Path) -> None:
    path.write_bytes(np.random.default_rng(1).bytes(5000))


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.mkdir()
    (path / "variables").mkdir()


def _damaged_saved_model(path: Path) -> None:
    path.mkdir()
    (path / "saved_model.pb").write_bytes(b"\xff" * 100)


def _missing(_path: Path) -> None:
    pass


def _dangling_link(path: Path) -> None:
    path.symlink_to("nowhere")


def _truncated(name: str) -> Any:
    def write(path: Path) -> None:
        content = (FIXTURES / name).read_bytes()
        path.write_bytes(content[: len(content) * 2 // 3])

    return write


NO_MODELS = {
    "empty": (_empty, "is empty"),
    "random": (_random, "is neither HDF5 nor a .keras archive"),
    "FIFO": (_fifo, "is neither a file nor a directory"),
    "folder": (_folder, "has no saved_model.pb"),
    "damaged SavedModel": (_damaged_saved_model, "damaged|cannot load"),
    "missing": (_missing, "No such file"),
    "dangling link": (_dangling_link, "No such file"),
    "truncated .h5": (_truncated("mlp_bn_after.h5"), "damaged"),
    "truncated .keras": (_truncated("mlp_bn_after.keras"), "damaged"),
}


@pytest.mark.parametrize(("write", "words"), NO_MODELS.values(), ids=NO_MODELS)
def test_07_no_model(tmp_path, write, words):
    """What is no model is refused with the true reason, and nothing is written."""
    path = tmp_path / "model.h5"
    write(path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(Unreadable, match=words) as caught:
        foldbn.convert(path, bench=False)
    assert caught.value.exit_code == 3
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("suffix", [".h5", ".keras", ".model", ".hdf5", "", ".onnx.bak"])
@pytest.mark.parametrize("name", ["bn_axis_1.h5", "transfer.keras"])
def test_08_wrong_suffix(networks, tmp_path, name, suffix):
    """A model is loaded by its content, whatever its name ends in."""
    path = tmp_path / f"model{suffix}"
    shutil.copy(networks / name, path)
    inspection = foldbn.inspect(path)
    assert inspection.source.format == ("keras-h5" if name.endswith("h5") else "keras-zip")
    assert inspection.summary.kept == 0
    assert inspection.summary.folded >= 1


def test_09_weights_only(tmp_path):
    """A file of weights alone says that the architecture is missing, and what to do."""
    path = tmp_path / "model.weights.h5"
    import keras

    stack((4,), keras.layers.Dense(3)).save_weights(path)
    with pytest.raises(Unreadable, match="architecture is missing") as caught:
        foldbn.inspect(path)
    assert caught.value.exit_code == 3
    assert "load_weights" in caught.value.hint
