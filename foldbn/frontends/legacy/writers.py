"""Which Keras wrote a file: its version decides what its configuration and weights mean."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from foldbn.frontends.sniff import Format

# Arguments that only layers of Keras 1 have, for files that do not say who wrote them.
_KERAS_1 = ("nb_filter", "border_mode", "W_regularizer", "dim_ordering", "inner_init")
_MERGED = (2, 4)  # since this version the package keras is tf.keras


@dataclass(frozen=True)
class Writer:
    """The Keras that wrote a file.

    Attributes:
        version: major and minor.
        stand_alone: whether it was the package keras of its own, not tf.keras.
        backend: which computed for it, where the file says so.
    """

    version: tuple[int, int]
    stand_alone: bool = False
    backend: str | None = None

    @property
    def major(self) -> int:
        """The generation of Keras: 1, 2 or 3."""
        return self.version[0]


def writer_of(path: Path, kind: Format, config: Any) -> Writer:
    """Return who wrote a Keras file.

    Args:
        path: of the file.
        kind: what `sniff` says it is.
        config: of the model in it, to guess from where the file does not say.
    """
    version, backend = _stated(path, kind)
    found = re.match(r"(\d+)\.(\d+)", version)
    if not found:
        return Writer((1, 2) if _looks_like_keras_1(config) else (2, 0), stand_alone=True)
    numbers = (int(found[1]), int(found[2]))
    stand_alone = numbers < _MERGED and not version.endswith("-tf")
    return Writer(numbers, stand_alone, backend or None)


def _stated(path: Path, kind: Format) -> tuple[str, str]:
    if kind == "keras-zip":
        with zipfile.ZipFile(path) as archive:
            try:
                return str(json.loads(archive.read("metadata.json"))["keras_version"]), ""
            except (KeyError, TypeError, ValueError):
                return "", ""
    import h5py

    with h5py.File(path, "r") as file:
        attributes = {**file.get("model_weights", file).attrs, **file.attrs}
    return _text(attributes.get("keras_version")), _text(attributes.get("backend"))


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value or "")


def _looks_like_keras_1(config: Any) -> bool:
    return any(
        key in _KERAS_1 or (key, kind) == ("output_dim", "Dense") for kind, key in _keys(config)
    )


def _keys(part: Any, kind: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(part, dict):
        inner = str(part.get("class_name", kind))
        for key, value in part.items():
            yield inner, key
            yield from _keys(value, inner)
    elif isinstance(part, list):
        for value in part:
            yield from _keys(value, kind)
