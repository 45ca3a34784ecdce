"""Keras is given the configuration that was checked, and nothing that was changed meanwhile."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from foldbn.errors import Unreadable, Unsafe
from foldbn.frontends import keras_files, loading, sniff
from foldbn.frontends.configs import read_config
from tests.test_hostile_files import reconfigured, serialized

SUFFIXES = (".h5", ".keras")


@pytest.fixture(scope="module")
def nested(tmp_path_factory) -> Path:
    """Return a folder with a model that has a compiled model inside."""
    import keras

    folder = tmp_path_factory.mktemp("nested")
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)], name="inner")
    inner.compile("adam", "mse")
    outer = keras.Input((4,))
    model = keras.Model(outer, inner(outer))
    for suffix in SUFFIXES:
        model.save(folder / f"model{suffix}")
    np.savez(folder / "weights.npz", *model.get_weights())
    return folder


@pytest.fixture
def lookups(monkeypatch) -> list[Any]:
    """Return a list of the layers of one kind that Keras has made, as it grows."""
    import keras

    made: list[Any] = []
    make = keras.layers.IntegerLookup.__init__
    monkeypatch.setattr(
        keras.layers.IntegerLookup,
        "__init__",
        lambda self, *args, **kwargs: made.append(self) or make(self, *args, **kwargs),
    )
    keras.layers.IntegerLookup(vocabulary=[1, 2])
    assert made
    made.clear()
    return made


LOOKUP = serialized("IntegerLookup", vocabulary="words.txt")


def inner_of(config: dict[str, Any]) -> dict[str, Any]:
    """Return the nested model of a configuration."""
    (found,) = (each for each in config["config"]["layers"] if each["config"]["name"] == "inner")
    return found


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_inner_model_is_not_compiled(nested, tmp_path, lookups, suffix):
    """Losses of an inner model are neither made nor missed."""
    path = Path(shutil.copy(nested / f"model{suffix}", tmp_path))
    for loss in (LOOKUP, {"class_name": "Theirs", "module": "theirs", "config": {}}):
        found = {"optimizer": "adam", "loss": loss, "metrics": [loss]}
        reconfigured(path, lambda config, new=found: inner_of(config).update(compile_config=new))
        loaded = loading.load(path)
        assert [port.shape for port in loaded.original.inputs] == [(None, 4)]
    assert not lookups


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_weights_are_those_of_the_file(nested, suffix):
    """What Keras loads from the copy has the weights that were saved."""
    path = nested / f"model{suffix}"
    kind = sniff.sniff(path)
    found = keras_files._load_with_keras(path, kind, read_config(path, kind), {}).get_weights()
    with np.load(nested / "weights.npz") as saved:
        assert len(found) == len(saved.files) == 2
        assert all(map(np.array_equal, found, saved.values()))


def swapping(monkeypatch, path: Path, other: Path) -> None:
    """Let another file take the place of the one at `path` once that has been checked."""
    check = keras_files.check_budget

    def check_and_swap(*arguments: Any) -> int:
        limit = check(*arguments)
        other.replace(path)
        return limit

    monkeypatch.setattr(keras_files, "check_budget", check_and_swap)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_that_is_swapped(nested, tmp_path, monkeypatch, lookups, suffix):
    """A configuration that takes the place of a checked one is not loaded, and it is told."""
    path = Path(shutil.copy(nested / f"model{suffix}", tmp_path))
    other = Path(shutil.copy(path, tmp_path / f"other{suffix}"))
    reconfigured(other, lambda config: inner_of(config)["config"]["layers"].append(LOOKUP))
    swapping(monkeypatch, path, other)
    with pytest.raises(Unreadable, match="was changed while it was read"):
        loading.load(path)
    assert not lookups


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_weights_that_are_swapped(nested, tmp_path, monkeypatch, suffix):
    """Weights that take the place of checked ones are checked as well."""
    path = Path(shutil.copy(nested / f"model{suffix}", tmp_path))
    other = Path(shutil.copy(path, tmp_path / f"other{suffix}"))
    if suffix == ".h5":
        with h5py.File(other, "r+") as file:
            file["elsewhere"] = h5py.ExternalLink("other.h5", "/weights")
    else:
        weights = tmp_path / "model.weights.h5"
        with h5py.File(weights, "w") as file:
            file["elsewhere"] = h5py.ExternalLink("other.h5", "/weights")
        with zipfile.ZipFile(path) as source, zipfile.ZipFile(other, "w") as target:
            target.writestr("metadata.json", source.read("metadata.json"))
            target.write(weights, weights.name)
    swapping(monkeypatch, path, other)
    with pytest.raises(Unsafe, match="link to another place"):
        loading.load(path)
