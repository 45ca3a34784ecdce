"""Give several files their final names, all of them or none.

A file system renames one file in one step, not two. So what is about to be renamed is written
down first, what is replaced is kept, and `roll_back` undoes a beginning: in the process that
failed, in the command whose worker was killed, or in the next run where both were.

    folder/publishing    JSON {name: [inode, modified]} of the new files; there until all is done
    folder/published     the same, afterwards
    folder/aside/<name>  what was at ``<name>`` before
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
from contextlib import suppress
from pathlib import Path

_BEGUN = "publishing"
_DONE = "published"
_ASIDE = "aside"
_AT_FDCWD = -100
_RENAME_NOREPLACE, _RENAME_EXCHANGE = 1, 2


def publish(folder: Path, targets: dict[Path, Path], *, replace: bool = True) -> None:
    """Move staged files and directories to their final names, all of them or none.

    Args:
        folder: where they wait, on the file system of their final places.
        targets: from each staged path to its final one. Staged paths lie in `folder`, final
            ones in its parent, and each pair has one name.
        replace: whether final names may be taken from others.

    Raises:
        FileExistsError: a name is taken, and may not be.
        OSError: a name cannot be taken; what was there before is there again.
    """
    marks = {target.name: _mark(staged) for staged, target in targets.items()}
    _write(folder / _BEGUN, json.dumps(marks).encode())
    try:
        (folder / _ASIDE).mkdir()
        for staged, target in targets.items():
            if replace:
                _put(staged, target, folder / _ASIDE / target.name)
            else:
                _put_where_nothing_is(staged, target)
        _sync(folder.parent)
        (folder / _BEGUN).rename(folder / _DONE)
    except BaseException:
        with suppress(OSError):  # then `folder` stays, and with it what was there before
            roll_back(folder)
        raise


def is_published(folder: Path) -> bool:
    """Whether everything in `folder` that was to be published has its final name."""
    return (folder / _DONE).exists()


def roll_back(folder: Path) -> bool:
    """Undo what `publish` began in `folder` and did not finish.

    Whatever was renamed or replaced by others meanwhile is left as it is.

    Returns:
        True: nothing unfinished is left, and `folder` may go.

    Raises:
        OSError: a name cannot be taken back.
    """
    for name, mark in _marks(folder).items():
        staged, target, old = folder / name, folder.parent / name, folder / _ASIDE / name
        if _mark(target) == mark:
            if not os.path.lexists(old):
                _take_back(staged, target)
            elif target.is_dir():
                target.rename(staged)
                old.rename(target)
            else:
                old.replace(target)
        elif not os.path.lexists(target) and os.path.lexists(old):
            old.rename(target)
    with suppress(FileNotFoundError):
        (folder / _BEGUN).unlink()
    return True


def _put(staged: Path, target: Path, old: Path) -> None:
    """Move `staged` to `target`; what is there is kept, at `old` or, exchanged, at `staged`."""
    if os.path.lexists(target):
        if not staged.is_dir():
            _keep(target, old)
        elif _exchange(staged, target):
            return
        else:
            target.rename(old)
    staged.rename(target)


def _put_where_nothing_is(staged: Path, target: Path) -> None:
    if _rename(staged, target, _RENAME_NOREPLACE):
        return
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    staged.rename(target)  # the file system cannot do both in one step


def _keep(target: Path, old: Path) -> None:
    """Give a file a second name, so that it has its own until it is replaced."""
    try:
        os.link(target, old, follow_symlinks=False)
    except OSError:
        if target.is_dir() and not target.is_symlink():
            raise  # whose ever it is, it is nothing that a file may replace
        target.rename(old)  # not every file system has two names for a file


def _take_back(staged: Path, target: Path) -> None:
    """Move `target` to `staged`, and back what was exchanged for it."""
    if os.path.lexists(staged):
        if not _exchange(staged, target):
            raise OSError(f"cannot exchange {str(staged)!r} and {str(target)!r}")
    else:
        target.rename(staged)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two paths in one step; False where the system or the file system cannot."""
    return _rename(one, other, _RENAME_EXCHANGE)


def _rename(one: Path, other: Path, how: int) -> bool:
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None)
    if renameat2 is None:
        return False
    paths = os.fsencode(one), os.fsencode(other)
    done = renameat2(_AT_FDCWD, paths[0], _AT_FDCWD, paths[1], how)
    return bool(done == 0)


def _mark(path: Path) -> list[int] | None:
    """Return what tells a file from any other that may take its place; None if it is gone."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    return [found.st_ino, found.st_mtime_ns]


def _marks(folder: Path) -> dict[str, list[int]]:
    """Read what was being published; names that lead elsewhere are none of ours."""
    try:
        marks = json.loads((folder / _BEGUN).read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    if not isinstance(marks, dict):
        return {}
    return {name: mark for name, mark in marks.items() if _is_plain(name)}


def _is_plain(name: str) -> bool:
    return Path(name).name == name != os.pardir


def _write(path: Path, content: bytes) -> None:
    """Write a file down to the disk, in one step."""
    draft = path.with_suffix(".draft")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    """Bring the names in a folder down to the disk, where that can be done."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
