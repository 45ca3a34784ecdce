"""Tell what a path holds by its content, never by its suffix, and without any framework."""

from __future__ import annotations

import errno
import hashlib
import json
import stat
import zipfile
from pathlib import Path
from typing import Any, Literal

from foldbn.errors import FoldbnError, Unreadable, said
from foldbn.frontends.strangers import (
    describe_zip,
    is_graph,
    refuse_checkpoint,
    refuse_directory,
    refuse_file,
)
from foldbn.frontends.structure import check_hdf5, check_zip
from foldbn.frontends.trial import try_hdf5
from foldbn.frontends.unpacking import unpacked

SAVED_MODEL_FILES = ("saved_model.pb", "saved_model.pbtxt")

Format = Literal["keras-h5", "keras-zip", "savedmodel", "frozen-graph"]

_HDF5 = b"\x89HDF\r\n\x1a\n"
_ZIP = b"PK\x03\x04"
_WANTED = "foldbn reads .h5 and .keras files and SavedModel directories"


def sniff(path: Path) -> Format:
    """Return the format of the model at `path`.

    Raises:
        Unreadable: there is no model that foldbn knows.
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if _is_checkpoint(path):
            raise refuse_checkpoint(path) from error
        raise Unreadable(f"cannot read {str(path)!r}: {error.strerror}", _WANTED) from error
    if stat.S_ISDIR(mode):
        return _sniff_directory(path)
    if not stat.S_ISREG(mode):
        raise Unreadable(f"{str(path)!r} is neither a file nor a directory", _WANTED)
    return _sniff_file(path)


def check_name(path: Path) -> None:
    """Raise Unreadable where no file can have such a name: any look at it would raise."""
    try:
        path.stat()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise Unreadable(f"cannot read {str(path)!r}: {error.strerror}", _WANTED) from error


def _is_checkpoint(path: Path) -> bool:
    """Whether a path is what the files of a checkpoint begin with."""
    try:
        return path.with_name(f"{path.name}.index").is_file()
    except (OSError, ValueError):  # no file can have such a name
        return False


def _sniff_directory(path: Path) -> Format:
    if not any((path / name).is_file() for name in SAVED_MODEL_FILES):
        raise refuse_directory(path, _WANTED)
    return "savedmodel"


def _sniff_file(path: Path) -> Format:
    try:
        with path.open("rb") as file:
            head = file.read(len(_HDF5))
    except OSError as error:
        raise Unreadable(f"cannot read {str(path)!r}: {error.strerror}", _WANTED) from error
    if not head:
        raise Unreadable(f"{str(path)!r} is empty", "was the download or copy interrupted?")
    if head == _HDF5:
        _check_hdf5(path)
        return "keras-h5"
    if head.startswith(_ZIP):
        _check_zip(path)
        return "keras-zip"
    if is_graph(path):
        return "frozen-graph"
    raise refuse_file(path, _WANTED)


def _check_hdf5(path: Path) -> None:
    import h5py

    try:
        with path.open("rb") as content:
            try_hdf5(content.fileno(), str(path))
        with h5py.File(path, "r") as file:
            has_config = file.attrs.get("model_config") is not None
            file.attrs.get("keras_version")  # what cannot be read says so here
            check_hdf5(file, str(path), path.stat().st_size)
    except FoldbnError:
        raise
    except Exception as error:  # HDF5's errors come as OSError, RuntimeError, KeyError and more
        raise Unreadable(
            f"{str(path)!r} is damaged HDF5: {said(error)}", "was the download or copy interrupted?"
        ) from error
    if not has_config:
        raise Unreadable(
            f"{str(path)!r} holds weights only: the architecture is missing",
            "build the model in Python, load_weights() this file, then model.save('model.keras')",
        )


def _check_zip(path: Path) -> None:
    import h5py  # noqa: F401 - a machine that cannot load it says nothing of the file

    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            check_zip(archive, str(path), path.stat().st_size)
            for member in names & {"config.json", "metadata.json"}:
                archive.read(member)
            _check_weights(archive, str(path))
    except FoldbnError:
        raise
    except Exception as error:  # zipfile, its packers and HDF5 all raise their own
        raise Unreadable(
            f"{str(path)!r} is a damaged zip archive: {said(error)}",
            "was the download or copy interrupted?",
        ) from error
    if missing := {"config.json", "model.weights.h5"} - names:
        if told := describe_zip(names):
            raise Unreadable(f"{str(path)!r} is {told[0]}", told[1])
        raise Unreadable(
            f"{str(path)!r} is a zip archive but no .keras model: no {min(missing)}",
            _WANTED,
        )


def _check_weights(archive: zipfile.ZipFile, name: str) -> None:
    """Look into the HDF5 file inside a .keras archive."""
    import h5py

    for member in archive.infolist():
        if member.filename.endswith(".h5"):
            place = f"{name}/{member.filename}"
            with unpacked(archive, member.filename) as content:
                try_hdf5(content.fileno(), place)
                with h5py.File(content, "r") as file:
                    check_hdf5(file, place, member.file_size)


def writer_of(path: Path, kind: Format) -> str | None:
    """Return what the file says of the Keras that wrote it, like ``keras 2.4.0``."""
    if kind == "keras-h5":
        import h5py

        with h5py.File(path, "r") as file:
            version = file.attrs.get("keras_version")
        return _told(version) if version else None
    if kind == "keras-zip":
        with zipfile.ZipFile(path) as archive:
            try:
                version = json.loads(archive.read("metadata.json"))["keras_version"]
            except (KeyError, TypeError, ValueError, zipfile.BadZipFile):
                return None
            return _told(version)
    return None


def _told(version: Any) -> str:
    """Return the version of a Keras in words; halves of UTF-16 pairs, as JSON has them, go."""
    text = version.decode(errors="replace") if isinstance(version, bytes) else str(version)
    return f"keras {text}".encode(errors="replace").decode()


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, or of a directory's relative names and files in order."""
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    total = hashlib.sha256()
    for part in sorted(p for p in path.rglob("*") if p.is_file()):
        total.update(part.relative_to(path).as_posix().encode() + b"\0")
        total.update(sha256_of(part).encode())
    return total.hexdigest()
