"""Read the variables of a SavedModel from its checkpoint, without running anything of the file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foldbn.errors import Unreadable, Unsupported, said
from foldbn.frontends.object_graph import KEY, held_by_objects
from foldbn.frontends.saver import Entry, restored_from

_HINT = "was the download or copy interrupted? A SavedModel is a folder with a folder variables"
_SHARD = re.compile(r"variables\.data-\d{5}-of-(\d{5})")


def read_variables(path: Path, wanted: Iterable[str], meta: Any) -> dict[str, NDArray[Any]]:
    """Return the value of each variable of a SavedModel directory.

    Args:
        path: the directory.
        wanted: names of the variables' nodes.
        meta: the MetaGraphDef, whose restore op or whose objects say what is whose value.

    Raises:
        Unreadable: a file is missing, damaged, or shorter than it says.
        Unsupported: a variable is not in the checkpoint.
    """
    names = list(wanted)
    if not names:
        return {}
    reader = _open(path)
    shapes = reader.get_variable_to_shape_map()
    entries = _entries(names, meta, reader, path)
    values: dict[Entry, NDArray[Any]] = {}
    for name in names:
        entry = entries[name]
        if entry.key not in shapes:
            raise Unreadable(
                f"the checkpoint in {str(path)!r} has no entry {entry.key!r} for the variable"
                f" {name!r}",
                _HINT,
            )
        if entry not in values:
            values[entry] = _slice(np.asarray(_get(reader, entry.key, path)), entry.slices)
    return {name: values[entries[name]] for name in names}


def _entries(names: list[str], meta: Any, reader: Any, path: Path) -> Mapping[str, Entry]:
    """Return the entry of the checkpoint for each variable."""
    entries = restored_from(meta)
    if not entries.keys() >= set(names) and reader.has_tensor(KEY):
        entries = held_by_objects(meta, _get(reader, KEY, path)) | entries
    if missing := [name for name in names if name not in entries]:
        raise Unsupported(
            f"the variable {missing[0]!r} is in no checkpoint: its value is made by an initializer",
            "save the model after its variables are initialized, all of them",
        )
    return entries


def _open(path: Path) -> Any:
    import tensorflow as tf

    folder = path / "variables"
    index = folder / "variables.index"
    if not index.is_file():
        what = "variables/variables.index" if folder.is_dir() else "folder variables"
        raise Unreadable(f"{str(path)!r} has no {what}: its weights are missing", _HINT)
    shards = [found for part in folder.iterdir() if (found := _SHARD.fullmatch(part.name))]
    wanted = {int(found[1]) for found in shards}
    if not shards or wanted != {len(shards)}:
        raise Unreadable(
            f"{str(path)!r} has {len(shards)} of {max(wanted, default=1)} files"
            " variables/variables.data-*: weights are missing",
            _HINT,
        )
    try:
        reader = tf.train.load_checkpoint(str(folder / "variables"))
    except Exception as error:  # TensorFlow's own, and others
        raise _damaged(path, error) from error
    _check_size(reader, folder, path)
    return reader


def _check_size(reader: Any, folder: Path, path: Path) -> None:
    """Refuse a checkpoint that declares more than its files hold, before room is made for it."""
    kinds = reader.get_variable_to_dtype_map()
    declared = sum(
        int(np.prod(shape, dtype=object)) * kinds[key].size
        for key, shape in reader.get_variable_to_shape_map().items()
        if kinds[key].is_floating or kinds[key].is_integer
    )
    stored = sum(part.stat().st_size for part in folder.glob("variables.data-*"))
    if declared > stored:
        raise Unreadable(
            f"the variables in {str(path)!r} have {declared:,} bytes, their files {stored:,}",
            _HINT,
        )


def _get(reader: Any, key: str, path: Path) -> Any:
    try:
        return reader.get_tensor(key)
    except Exception as error:  # TensorFlow's own, and others
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> Unreadable:
    return Unreadable(f"the variables in {str(path)!r} are damaged: {said(error)}", _HINT)


def _slice(value: NDArray[Any], slices: str) -> NDArray[Any]:
    """Return the part that ``4 6 0,2:-`` asks for: after the shape a start and a length by axis."""
    if not slices:
        return value
    parts = slices.rsplit(" ", maxsplit=1)[-1].split(":")
    if len(parts) != value.ndim:
        return value
    starts = [0 if part == "-" else int(part.split(",")[0]) for part in parts]
    ends = [None if part == "-" else sum(map(int, part.split(","))) for part in parts]
    return value[tuple(slice(*pair) for pair in zip(starts, ends, strict=True))]
