"""Say what a file or folder is that is no model foldbn reads, and what to do with it.

Nothing is opened by a framework: the first bytes tell, and the fields at the top of a protobuf.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from foldbn.errors import Unreadable

_LARGEST_JSON = 2**26  # bytes
_TABLE = bytes.fromhex("57fb808b247547db")  # the end of a table of keys, like a checkpoint's index
_DATA = re.compile(r"(.+)\.data-\d{5}-of-\d{5}")
_WEIGHTS = (
    "build the model in Python, load_weights() or restore this, then model.save('model.keras')"
)
_EXPORTED = (
    "foldbn starts from the trained model: a .h5 or .keras file or a SavedModel; this file goes to"
    " foldbn verify and foldbn bench"
)
_FROM_JS = "tensorflowjs_converter --output_format keras_saved_model makes a SavedModel of it"
_UNPACK = "unpack it and give foldbn the model inside"

Told = tuple[str, str]  # what it is, and what to do

_HEADS: dict[bytes, Told] = {
    b"\x93NUMPY": ("a NumPy array", "with foldbn verify --samples it can be an input"),
    b"\x1f\x8b": ("a gzip archive", _UNPACK),
    b"BZh": ("a bzip2 archive", _UNPACK),
    b"\xfd7zXZ": ("an xz archive", _UNPACK),
    b"version https://git-lfs": (
        "a pointer of Git LFS, not the file itself",
        "git lfs pull fetches it",
    ),
    b"model_checkpoint_path:": ("a note of which checkpoint is the latest", _WEIGHTS),
    b"<!DOCTYPE": ("a web page", "was it downloaded from the page about the file?"),
    b"<html": ("a web page", "was it downloaded from the page about the file?"),
    b"backend:": ("the architecture of a Keras model as YAML, without its weights", _WEIGHTS),
    b"class_name:": ("the architecture of a Keras model as YAML, without its weights", _WEIGHTS),
}

_PICKLE: Told = (
    "a Python pickle, which foldbn does not open: unpickling runs what is in it",
    "load it where you trust it, and save the model with model.save('model.keras')",
)
_CHECKPOINT_DATA: Told = (
    "the weights of a TensorFlow checkpoint, without an architecture",
    _WEIGHTS,
)
_CHECKPOINT_INDEX: Told = (
    "the index of a TensorFlow checkpoint: weights without an architecture",
    _WEIGHTS,
)


def refuse_file(path: Path, wanted: str) -> Unreadable:
    """Return the error for a file that is no model foldbn reads.

    Args:
        path: of the file.
        wanted: what foldbn reads, for a file that tells nothing.
    """
    with path.open("rb") as file:
        head = file.read(512)
        told = _by_head(head, path) or _by_fields(file, path)
    if told is None:
        fact = f"{str(path)!r} is neither HDF5 nor a .keras archive: it begins with"
        return Unreadable(f"{fact} {head[:8].hex(' ')}", wanted)
    what, hint = told
    return Unreadable(f"{str(path)!r} is {what}", hint)


def _by_head(head: bytes, path: Path) -> Told | None:
    pickled = head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")
    found = _DATA.fullmatch(path.name)
    tellers: list[tuple[bool, Told]] = [
        *((head.startswith(start), told) for start, told in _HEADS.items()),
        (head[4:8] == b"TFL3", ("a TensorFlow Lite model", _EXPORTED)),
        (head[257:262] == b"ustar", ("a tar archive", _UNPACK)),
        (pickled, _PICKLE),
        (bool(found and path.with_name(f"{found[1]}.index").exists()), _CHECKPOINT_DATA),
        (_end(path) == _TABLE, _CHECKPOINT_INDEX),
    ]
    told = next((told for fits, told in tellers if fits), None)
    return told or (_by_json(path) if head.lstrip()[:1] == b"{" else None)


def _end(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(max(file.seek(0, 2) - len(_TABLE), 0))
        return file.read()


def _by_json(path: Path) -> Told | None:
    if path.stat().st_size > _LARGEST_JSON:
        return None
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    if "modelTopology" in content or content.get("format") in ("layers-model", "graph-model"):
        return "a TensorFlow.js model", _FROM_JS
    if {"class_name", "config"} <= set(content):
        return "the architecture of a Keras model as JSON, without its weights", _WEIGHTS
    return "a JSON file, but no Keras model", "model.save('model.keras') writes what foldbn reads"


def _by_fields(file: BinaryIO, path: Path) -> Told | None:
    """Tell protobufs apart by their fields: numbers and beginnings of what they hold."""
    fields = list(_fields(file))
    if not fields:
        return None
    numbers = [number for number, _ in fields]
    first = fields[0][1]
    if numbers[:2] == [1, 2] and fields[0][1] == b"\x01" and path.suffix == ".pb":
        return "a part of a SavedModel", f"give foldbn its folder: {str(path.parent)!r}"
    if path.name in ("keras_metadata.pb", "fingerprint.pb"):
        return "a part of a SavedModel", f"give foldbn its folder: {str(path.parent)!r}"
    if numbers[0] == 1 and 7 in numbers and len(first) == 1 and first[0] < 32:
        return "an ONNX model", _EXPORTED
    return None


def is_graph(path: Path) -> bool:
    """Whether a file is a GraphDef of TensorFlow: nodes, functions and versions, and no more."""
    with path.open("rb") as file:
        fields = list(_fields(file))
    numbers = {number for number, _ in fields}
    return bool(fields) and numbers <= {1, 2, 3, 4} and fields[0][0] == 1 and _is_node(fields[0][1])


def _is_node(content: bytes) -> bool:
    """Whether bytes begin like a NodeDef: a name, and an op."""
    found = re.match(rb"\x0a(.)", content, re.DOTALL)
    rest = content[2 + found[1][0] :] if found else b""
    return bool(re.match(rb"\x12.[A-Z_]\w*", rest, re.DOTALL))


def _fields(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield the fields of a protobuf: a number, and a varint or the first bytes of a message.

    Nothing is yielded of what is no protobuf to its end.
    """
    end = file.seek(0, 2)
    file.seek(0)
    found = []
    while file.tell() < end:
        key = _varint(file)
        if key is None or not key >> 3:
            return
        number, kind = key >> 3, key & 7
        if kind == 0:
            value = _varint(file)
            if value is None:
                return
            found.append((number, bytes([min(value, 255)])))
        elif kind == 2:
            length = _varint(file)
            if length is None or file.tell() + length > end:
                return
            start = file.tell()
            found.append((number, file.read(min(length, 512))))
            file.seek(start + length)
        elif kind in (1, 5):
            file.seek(8 if kind == 1 else 4, 1)
        else:
            return
    yield from found


def _varint(file: BinaryIO) -> int | None:
    value = 0
    for place in range(10):
        byte = file.read(1)
        if not byte:
            return None
        value |= (byte[0] & 127) << 7 * place
        if byte[0] < 128:
            return value
    return None


def describe_zip(names: set[str]) -> Told | None:
    """Say what a zip archive is by the names of its members."""
    if any(name.endswith("data.pkl") for name in names):
        return (
            "a PyTorch model, a zip archive with a pickle in it",
            "foldbn reads models of Keras and TensorFlow",
        )
    if any(Path(name).name == "saved_model.pb" for name in names):
        return "a zip archive of a SavedModel", _UNPACK
    if names and all(name.endswith(".npy") for name in names):
        return "an archive of NumPy arrays", "foldbn verify --samples takes it as inputs"
    return None


def refuse_checkpoint(path: Path) -> Unreadable:
    """Return the error for the name that the files of a checkpoint begin with."""
    return Unreadable(
        f"{str(path)!r} is a TensorFlow checkpoint: weights without an architecture", _WEIGHTS
    )


def refuse_directory(path: Path, wanted: str) -> Unreadable:
    """Return the error for a directory without saved_model.pb."""
    names = sorted(part.name for part in path.iterdir())
    told = _by_names(path, set(names))
    if told is None:
        listed = f"it holds {', '.join(map(repr, names[:5]))}{' ...' if names[5:] else ''}"
        return Unreadable(f"the directory {str(path)!r} has no saved_model.pb: {listed}", wanted)
    what, hint = told
    return Unreadable(f"the directory {str(path)!r} has no saved_model.pb: it {what}", hint)


def _by_names(path: Path, names: set[str]) -> Told | None:
    inside = [path / name for name in sorted(names) if _is_model(path / name)]
    indexed = any(name.endswith(".index") for name in names)
    tellers: list[tuple[bool, Told]] = [
        (not names, ("is empty", "was the download or copy interrupted?")),
        (
            "saved_model.cpb" in names,
            (
                "holds a SavedModel in pieces (saved_model.cpb)",
                "save the model without experimental_image_format",
            ),
        ),
        (
            bool({"variables", "keras_metadata.pb"} & names),
            (
                "is a SavedModel whose graph is missing",
                "was the download or copy interrupted? The file saved_model.pb holds the graph",
            ),
        ),
        (
            {"config.json", "model.weights.h5"} <= names,
            ("is an unpacked .keras archive", "zip the files in it to model.keras"),
        ),
        (
            "checkpoint" in names or indexed,
            ("holds a TensorFlow checkpoint: weights without an architecture", _WEIGHTS),
        ),
        (
            bool(inside),
            ("holds models", f"give foldbn one of them: {', '.join(map(str, inside[:5]))}"),
        ),
        ("model.json" in names, ("holds a TensorFlow.js model", _FROM_JS)),
    ]
    return next((told for fits, told in tellers if fits), None)


def _is_model(path: Path) -> bool:
    named = path.suffix in (".h5", ".hdf5", ".keras") and path.is_file()
    return named or (path / "saved_model.pb").is_file()
