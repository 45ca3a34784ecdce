"""Artefacts wait in a hidden folder beside their place until everything is proven."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from foldbn import files
from foldbn.errors import OutputExists, OutputIsInput, UsageError, WriteFailed

_DIRECTORIES = (".savedmodel",)  # artefacts of these suffixes are directories
_SUFFIXES = ("savedmodel", "saved_model", "tf", "keras", "h5")


def plan_targets(
    model: Path, output_dir: Path | None, suffixes: tuple[str, ...], *, overwrite: bool
) -> tuple[Path, ...]:
    """Return where the artefacts go: ``<stem><suffix>`` beside the model or in `output_dir`.

    Raises:
        UsageError: `output_dir` is no folder, or inside a file.
        OutputIsInput: an artefact would replace the model, or land inside it.
        OutputExists: something is there already, and `overwrite` does not allow to replace it,
            or it is nothing that an artefact of that name could be.
    """
    named = _named(model)
    folder = named.parent if output_dir is None else output_dir
    _check_is_folder(folder)
    if model.is_dir() and folder.resolve().is_relative_to(model.resolve()):
        raise OutputIsInput(
            f"the output folder {str(folder)!r} is inside the model", "choose another --output-dir"
        )
    stem = named.name if model.is_dir() and named.suffix[1:] not in _SUFFIXES else named.stem
    targets = tuple(folder / f"{stem}{suffix}" for suffix in suffixes)
    for target in targets:
        if os.path.exists(target) and model.exists():  # noqa: PTH110 - see missing_folders
            _check_is_not_the_model(target, model)
        if os.path.lexists(target):
            _check_replaceable(target)
            if not overwrite:
                raise OutputExists(f"{str(target)!r} exists", "--overwrite replaces it")
    return targets


def recover(model: Path, output_dir: Path | None) -> None:
    """Undo and remove what earlier runs that were killed have left in the output folder."""
    folder = _named(model).parent if output_dir is None else output_dir
    files.sweep(folder, files.HIDDEN, files.roll_back)


def missing_folders(output_dir: Path) -> list[Path]:
    """Return the folders that have to be made for `output_dir`, the innermost first."""
    # Path.exists raises where it may not look; making the folder says what is wrong.
    return [path for path in (output_dir, *output_dir.parents) if not os.path.exists(path)]  # noqa: PTH110


def _named(model: Path) -> Path:
    """Return `model` as the user named it, even if it is a link; the current folder has no name."""
    return model if model.name else model.resolve()


def _check_is_folder(folder: Path) -> None:
    """Refuse an output folder that is, or would have to be made in, something that is none."""
    place = next((path for path in (folder, *folder.parents) if os.path.lexists(path)), folder)
    if os.path.exists(place) and not os.path.isdir(place):  # noqa: PTH110, PTH112 - see missing_folders
        raise UsageError(f"{str(place)!r} is a file, not a folder", "choose another --output-dir")


def _check_is_not_the_model(target: Path, model: Path) -> None:
    if target.samefile(model):
        raise OutputIsInput(f"{str(target)!r} is the model itself", "choose another --output-dir")
    if model.resolve().is_relative_to(target.resolve()):
        raise OutputIsInput(f"the model is inside {str(target)!r}", "choose another --output-dir")


def _check_replaceable(target: Path) -> None:
    """Refuse to replace a folder by a file, and by a folder all but what looks like a SavedModel.

    A folder of that name may be the user's own, with things in it that nobody can make again.
    """
    if target.suffix not in _DIRECTORIES:
        if target.is_dir():
            raise OutputExists(f"{str(target)!r} is a directory", "choose another --output-dir")
    elif not (target / "saved_model.pb").is_file():
        raise OutputExists(f"{str(target)!r} is no SavedModel", "choose another --output-dir")


class Staging:
    """A hidden folder in the output folder, gone when the block ends.

    Attributes:
        folder: the hidden folder.

    Whatever ends the block, only what was published remains; an output folder that the block
    made goes too where nothing was published in it. What a killed process leaves is undone and
    removed by `recover`.

    Raises:
        WriteFailed: a folder cannot be made.
    """

    def __init__(self, output_dir: Path) -> None:
        self._made = missing_folders(output_dir)
        try:
            output_dir.mkdir(parents=True, exist_ok=True)
            self._claim = files.claim(output_dir, files.HIDDEN)
        except OSError as error:
            self._remove_made()
            raise WriteFailed(f"cannot write to {str(output_dir)!r}: {error.strerror}") from error
        self.folder = self._claim.folder

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        files.release(self._claim, keep=not self._is_settled())
        if kind is not None:
            self._remove_made()

    def write(self, name: str, content: bytes) -> Path:
        """Write a file in the hidden folder, down to the disk.

        Raises:
            WriteFailed: the disk is full, say.
        """
        path = self.folder / name
        with self._told(), path.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        return path

    def settle(self, folder: Path) -> None:
        """Bring the files of a directory in the hidden folder down to the disk.

        Raises:
            WriteFailed: the disk is full, say.
        """
        with self._told():
            for path in folder.rglob("*"):
                if path.is_file():
                    with path.open("rb") as file:
                        os.fsync(file.fileno())

    def publish(self, targets: dict[Path, Path], *, overwrite: bool) -> None:
        """Give staged files and directories their final names, all of them or none.

        Args:
            targets: from a staged file or directory to its final name.
            overwrite: whether to replace what is there by now.

        Raises:
            OutputExists: something came to be there while this ran.
            WriteFailed: a name cannot be taken; what was there before is there again.
        """
        with self._told():
            for staged in targets:
                for path in (staged, *staged.rglob("*")):
                    path.chmod((0o777 if path.is_dir() else 0o666) & ~_umask())
            try:
                files.publish(self.folder, targets, replace=overwrite)
            except FileExistsError as error:
                raise OutputExists(
                    f"{str(error.filename)!r} exists: it came while this ran",
                    "--overwrite replaces it",
                ) from error

    def _is_settled(self) -> bool:
        """Whether nothing in the hidden folder is needed to undo what could not be undone."""
        try:
            return files.roll_back(self.folder)
        except OSError:
            return False

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Say where it was that the system refused to write."""
        try:
            yield
        except OSError as error:
            place = str(self.folder.parent)
            raise WriteFailed(f"cannot write to {place!r}: {error.strerror}") from error

    def _remove_made(self) -> None:
        for folder in self._made:
            try:
                folder.rmdir()
            except OSError:
                return


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
