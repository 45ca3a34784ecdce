"""Look at the structure of an HDF5 file or a zip archive before any framework opens it.

Both formats can name other files, declare more than they hold, and nest without end. Nothing
here follows a link or unpacks a member.
"""

from __future__ import annotations

import stat
import zipfile
from pathlib import PurePosixPath
from typing import Any

from foldbn.errors import Unsafe

_RATIO = 200  # declared bytes for each stored one; zeros pack better, weights never
_FREE = 2**26  # bytes that may be declared in any case
_OBJECTS = 100_000
_MEMBERS = 10_000
_DEPTH = 64
_HINT = "foldbn reads only what Keras itself writes into such a file"


def check_hdf5(file: Any, name: str, stored: int) -> None:
    """Refuse an HDF5 file that reaches outside itself, or declares far more than it holds.

    Args:
        file: an open h5py.File.
        name: of the file, for messages.
        stored: its size in bytes.

    Raises:
        Unsafe: it does one or the other, or is nested without end.
    """
    import h5py

    declared, seen, waiting = 0, {file["/"].id}, [(file["/"], "", 0)]
    while waiting:
        group, path, depth = waiting.pop()
        if depth > _DEPTH:
            raise Unsafe(f"{name!r} is nested more than {_DEPTH} groups deep", _HINT)
        for key in group:
            place = f"{path}/{key}"
            link = group.get(key, getlink=True)
            if not isinstance(link, h5py.HardLink):
                raise Unsafe(f"{name!r} has a link to another place at {place!r}", _HINT)
            item = group[key]
            if item.id in seen:
                raise Unsafe(f"{name!r} holds {place!r} under two names", _HINT)
            seen.add(item.id)
            if len(seen) > _OBJECTS:
                raise Unsafe(f"{name!r} holds more than {_OBJECTS} objects", _HINT)
            if isinstance(item, h5py.Group):
                waiting.append((item, place, depth + 1))
            elif isinstance(item, h5py.Dataset):
                declared += _declared(item, name, place)
    _check_ratio(declared, stored, name)


def _declared(dataset: Any, name: str, place: str) -> int:
    """Return how many bytes a dataset declares to hold in this very file."""
    if dataset.is_virtual:
        raise Unsafe(f"{name!r} has a virtual dataset at {place!r}: it lies in other files", _HINT)
    if dataset.external:
        raise Unsafe(f"{name!r} keeps {place!r} in another file", _HINT)
    return int(dataset.size or 0) * int(dataset.dtype.itemsize)


def _check_ratio(declared: int, stored: int, name: str) -> None:
    if declared > _FREE + _RATIO * stored:
        raise Unsafe(
            f"{name!r} declares {declared:,} bytes and holds {stored:,}",
            "a file that unpacks to so much more than it holds is no model",
        )


def check_zip(archive: zipfile.ZipFile, name: str, stored: int) -> None:
    """Refuse a zip archive whose members reach outside, clash, or unpack to far too much.

    What may be declared in any case is for all members together, since all may be unpacked; and
    none may declare more because another one is stored as it is.

    Args:
        archive: open for reading.
        name: of the file, for messages.
        stored: its size in bytes.

    Raises:
        Unsafe: it does one of these.
    """
    seen: set[str] = set()
    files: set[str] = set()
    above: set[str] = set()
    members = archive.infolist()
    if len(members) > _MEMBERS:
        raise Unsafe(f"{name!r} has {len(members):,} members, more than any model", _HINT)
    for member in members:
        path = PurePosixPath(member.filename.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts:
            raise Unsafe(f"{name!r} has a member outside itself: {member.filename!r}", _HINT)
        if stat.S_ISLNK(member.external_attr >> 16):
            raise Unsafe(f"{name!r} has a symbolic link: {member.filename!r}", _HINT)
        if str(path) in seen:
            raise Unsafe(f"{name!r} has two members {member.filename!r}", _HINT)
        seen.add(str(path))
        above.update(map(str, path.parents))
        if not member.is_dir():
            files.add(str(path))
    if clash := sorted(files & above):
        raise Unsafe(f"{name!r} has members below {clash[0]!r}, which is a file", _HINT)
    if sum(member.compress_size for member in members) > stored:
        raise Unsafe(f"{name!r} has members that share their bytes", _HINT)
    large = [member for member in members if member.file_size > _RATIO * member.compress_size]
    declared = sum(member.file_size for member in large)
    _check_ratio(declared, sum(member.compress_size for member in large), name)
