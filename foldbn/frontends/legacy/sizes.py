"""Make the layers of a model before their weights, to see how great these would be.

A configuration of some kilobytes can ask for weights that no machine holds.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from foldbn.errors import Unreadable
from foldbn.frontends.sniff import Format

_SPARE = 2**20  # numbers that layers make without a place in the file, like states


def build_lightly(build: Callable[[], Any], stored: int, source: str) -> Any:
    """Return what `build` returns, a model, and make its weights if the file can hold them.

    Args:
        build: makes a model.
        stored: how many numbers the file holds.
        source: the file, for messages.

    Raises:
        Unreadable: the configuration asks for more numbers than there are.
    """
    import keras

    # In such a scope Keras makes weights without values, and gives them values after one.
    with keras.StatelessScope(initialize_variables=False):
        try:
            model = build()
            _check(model, stored, source)
        except BaseException:
            keras.utils.clear_session()  # forget the weights that wait for their values
            raise
    with keras.StatelessScope():
        return model


def _check(model: Any, stored: int, source: str) -> None:
    wanted = sum(_count(weight) for weight in model.weights)
    if wanted > stored + _SPARE:
        raise Unreadable(
            f"the configuration in {source!r} asks for {wanted:,} numbers,"
            f" and the file holds {stored:,}",
            "was the download or copy interrupted?",
        )


def stored_numbers(path: Path, kind: Format) -> int:
    """Return how many numbers the datasets of a Keras file hold."""
    import h5py

    if kind == "keras-h5":
        with h5py.File(path, "r") as file:
            return _numbers(file)
    with (
        zipfile.ZipFile(path) as archive,
        archive.open("model.weights.h5") as packed,
        h5py.File(packed, "r") as file,
    ):
        return _numbers(file)


def _numbers(file: Any) -> int:
    found: list[int] = []
    file.visititems(lambda _, item: found.append(int(getattr(item, "size", 0) or 0)))
    return sum(found)


def _count(weight: Any) -> int:
    count = 1
    for length in weight.shape:
        count *= length
    return count
