"""Lay what is packed or may be changed by others into temporary files of foldbn's own."""

from __future__ import annotations

import errno
import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from foldbn.errors import Unreadable, WriteFailed, said
from foldbn.frontends.structure import check_hdf5, check_zip

# EFBIG is what a limit on the size of files says.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES)
_OF_KERAS = ("metadata.json", "model.weights.h5", "assets/")


@contextmanager
def unpacked(archive: zipfile.ZipFile, member: str) -> Iterator[IO[bytes]]:
    """Unpack a member of a zip archive to where it can be read in any order.

    Read where it lies, it would be unpacked from its beginning for each step back in it.

    Args:
        archive: open for reading, checked by `structure.check_zip`.
        member: its name in there.

    Yields:
        A temporary file without a name, open for reading.

    Raises:
        WriteFailed: there is no room for temporary files.
        Unreadable: the member is damaged.
    """
    with ExitStack() as stack:
        name = f"{archive.filename}/{member}"
        with needing_room(name, making=True):
            content = stack.enter_context(tempfile.TemporaryFile())
        with needing_room(name):
            with archive.open(member) as packed:
                shutil.copyfileobj(packed, content)
            content.flush()
        yield content


@contextmanager
def hdf5_in(archive: zipfile.ZipFile, member: str) -> Iterator[Any]:
    """Open an HDF5 file that lies in a zip archive.

    Args:
        archive: open for reading, checked by `structure.check_zip`.
        member: its name in there.

    Yields:
        The h5py.File.

    Raises:
        WriteFailed: there is no room for temporary files.
        Unreadable: the member is damaged.
    """
    import h5py

    with unpacked(archive, member) as content, h5py.File(content, "r") as file:
        yield file


def copy_with_config(path: Path, kind: str, config: Any, folder: Path) -> Path:
    """Write what Keras is to load: a configuration that was checked, with the weights of a file.

    Keras would read the configuration again, and another one if the file was changed meanwhile
    or is read in another way. Nobody else can change the copy, so its weights are checked there.

    Args:
        path: of the file.
        kind: what `sniff` says it is.
        config: of the model in it, checked.
        folder: where to; nobody else writes there.

    Returns:
        The path of a file with the suffix by which Keras chooses its reader, or of a directory
        of what is in a .keras archive.

    Raises:
        Unsafe: the file was changed and reaches outside itself now, or declares too much.
        Unreadable: what is read is damaged, or has names that no file may have.
        WriteFailed: there is no room for temporary files.
    """
    import h5py

    if kind == "keras-h5":
        copy = weights = folder / "model.h5"
        with needing_room(str(path)):
            shutil.copyfile(path, copy)
    else:
        copy, weights = folder / "model", folder / "model" / "model.weights.h5"
        with zipfile.ZipFile(path) as archive:
            check_zip(archive, str(path), path.stat().st_size)
            wanted = [name for name in archive.namelist() if name.startswith(_OF_KERAS)]
            with needing_room(str(path)):
                archive.extractall(copy, wanted)
                (copy / "config.json").write_text(json.dumps(config))
    with h5py.File(weights, "r") as file:
        check_hdf5(file, str(path), weights.stat().st_size)
    if kind == "keras-h5":
        with h5py.File(copy, "r+") as file:
            file.attrs["model_config"] = json.dumps(config)
    return copy


@contextmanager
def needing_room(name: str, *, making: bool = False) -> Iterator[None]:
    """Tell that there is no room for temporary files as just that, and what else fails as damage.

    Args:
        name: of what is unpacked or copied in the block.
        making: whether the block reads nothing and only makes a temporary file.

    Raises:
        WriteFailed: there is none.
        Unreadable: what is read is damaged, or has names that no file may have.
    """
    try:
        yield
    except OSError as error:
        if making or error.errno in _NO_ROOM:
            raise WriteFailed(
                f"cannot write a temporary copy of {name!r}: {error.strerror}",
                "TMPDIR names another folder for temporary files",
            ) from error
        raise Unreadable(
            f"cannot unpack {name!r}: {error.strerror or said(error)}",
            "was the download or copy interrupted?",
        ) from error
