"""Folders that a living process claims, and the removal of those whose owner is dead.

A process that is killed removes nothing. So every folder made here holds a file ``owner`` on
which its process keeps a lock. The kernel drops the lock however the process ends, and whoever
comes to the same place next removes the folders that nobody holds.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_OWNER = "owner"
_RANDOM = r"[a-z0-9_]{8}"  # what tempfile appends to a prefix


class Claim(NamedTuple):
    """A folder, and the descriptor whose lock says that its process lives."""

    folder: Path
    descriptor: int


def claim(parent: Path, prefix: str) -> Claim:
    """Make a folder for this process alone: ``<prefix>`` and eight random characters.

    Raises:
        OSError: it cannot be made.
    """
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        try:
            descriptor = os.open(folder / _OWNER, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        except FileNotFoundError:
            continue  # another process took the empty folder for a dead one's
        except OSError:
            folder.rmdir()
            raise
        if _lock(descriptor) is not False and _is_at(descriptor, folder / _OWNER):
            return Claim(folder, descriptor)
        os.close(descriptor)


def release(claimed: Claim, *, keep: bool = False) -> None:
    """Remove a claimed folder with all that is in it, or leave it to the next `sweep`."""
    if not keep:
        _remove(claimed.folder)
    os.close(claimed.descriptor)


def sweep(parent: Path, prefix: str, settle: Callable[[Path], bool] = lambda _folder: True) -> None:
    """Remove the folders with `prefix` in `parent` whose owners are dead.

    Nothing here fails: a folder that cannot be removed stays.

    Args:
        parent: where `claim` made them.
        prefix: as it was given to `claim`.
        settle: called with each one before it goes, while no other process can have it; it
            stays if that returns False.
    """
    pattern = re.compile(re.escape(prefix) + _RANDOM)
    with suppress(OSError), os.scandir(parent) as entries:
        for entry in [each for each in entries if pattern.fullmatch(each.name)]:
            with suppress(OSError):
                if entry.is_dir(follow_symlinks=False) and _is_mine(entry.stat().st_uid):
                    _sweep_one(Path(entry.path), settle)


def _sweep_one(folder: Path, settle: Callable[[Path], bool]) -> None:
    try:
        descriptor = os.open(folder / _OWNER, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        folder.rmdir()  # its owner died before it said so; anything else is not ours to remove
        return
    try:
        if _lock(descriptor) and _is_at(descriptor, folder / _OWNER) and settle(folder):
            _remove(folder)
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool | None:
    """Lock a file; False if another process holds it, None where files cannot be locked."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether an open file still lies at `path`: whoever removed it had the lock before."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def _is_mine(owner: int) -> bool:
    return owner == os.geteuid()


def _remove(folder: Path) -> None:
    """Remove a folder, the mark of its owner last: what is left half removed is still known."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in [each for each in entries if each.name != _OWNER]:
            if entry.is_dir(follow_symlinks=False):
                _open_up(entry.path)
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                with suppress(OSError):
                    Path(entry.path).unlink()
    with suppress(OSError):
        if not any(path.name != _OWNER for path in folder.iterdir()):
            (folder / _OWNER).unlink(missing_ok=True)
            folder.rmdir()


def _open_up(folder: str) -> None:
    """Let folders that were kept read-only be removed."""
    for place, _, _ in os.walk(folder):
        with suppress(OSError):
            Path(place).chmod(stat.S_IRWXU)
