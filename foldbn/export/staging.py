"""Artefacts wait in a hidden folder beside their place until everything is proven."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from foldbn.errors import OutputExists, OutputIsInput, WriteFailed

PREFIX = ".foldbn-"
_DIRECTORIES = (".savedmodel",)  # artefacts of these suffixes are directories
_SUFFIXES = ("savedmodel", "saved_model", "tf", "keras", "h5")


def plan_targets(
    model: Path, output_dir: Path | None, suffixes: tuple[str, ...], *, overwrite: bool
) -> tuple[Path, ...]:
    """Return where the artefacts go: ``<stem><suffix>`` beside the model or in `output_dir`.

    Raises:
        OutputIsInput: an artefact would replace the model, or land inside it.
        OutputExists: something is there already, and `overwrite` does not allow to replace it,
            or it is nothing that an artefact of that name could be.
    """
    # A link is named as the user named it; only the current folder has no name of its own.
    named = model if model.name else model.resolve()
    folder = named.parent if output_dir is None else output_dir
    if model.is_dir() and folder.resolve().is_relative_to(model.resolve()):
        raise OutputIsInput(
            f"the output folder {str(folder)!r} is inside the model", "choose another --output-dir"
        )
    stem = named.name if model.is_dir() and named.suffix[1:] not in _SUFFIXES else named.stem
    targets = tuple(folder / f"{stem}{suffix}" for suffix in suffixes)
    for target in targets:
        if target.exists() and model.exists():
            _check_is_not_the_model(target, model)
        if target.exists():
            _check_replaceable(target)
            if not overwrite:
                raise OutputExists(f"{str(target)!r} exists", "--overwrite replaces it")
    return targets


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
        made: folders that were made for it, the innermost first.

    Whatever ends the block, only what was published remains; an output folder that the block
    made goes too where nothing was published in it.

    Raises:
        WriteFailed: a folder cannot be made.
    """

    def __init__(self, output_dir: Path) -> None:
        self.made = [p for p in (output_dir, *output_dir.parents) if not p.exists()]
        try:
            output_dir.mkdir(parents=True, exist_ok=True)
            self.folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=output_dir))
        except OSError as error:
            self._remove_made()
            raise WriteFailed(f"cannot write to {str(output_dir)!r}: {error.strerror}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        if kind is not None:
            self._remove_made()

    def write(self, name: str, content: bytes) -> Path:
        """Write a file in the hidden folder, down to the disk.

        Raises:
            WriteFailed: the disk is full, say.
        """
        path = self.folder / name
        try:
            with path.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            place = str(self.folder.parent)
            raise WriteFailed(f"cannot write to {place!r}: {error.strerror}") from error
        return path

    def settle(self, folder: Path) -> None:
        """Bring the files of a directory in the hidden folder down to the disk.

        Raises:
            WriteFailed: the disk is full, say.
        """
        try:
            for path in folder.rglob("*"):
                if path.is_file():
                    with path.open("rb") as file:
                        os.fsync(file.fileno())
        except OSError as error:
            place = str(self.folder.parent)
            raise WriteFailed(f"cannot write to {place!r}: {error.strerror}") from error

    def publish(self, targets: dict[Path, Path]) -> None:
        """Give staged files and directories their final names, each in one step.

        Args:
            targets: from a staged file or directory to its final name.

        Raises:
            WriteFailed: a name cannot be taken.
        """
        for staged, target in targets.items():
            try:
                for path in (staged, *staged.rglob("*")):
                    path.chmod((0o777 if path.is_dir() else 0o666) & ~_umask())
                if staged.is_dir() and target.exists():
                    _exchange(staged, target)
                else:
                    staged.replace(target)
            except OSError as error:
                raise WriteFailed(f"cannot write {str(target)!r}: {error.strerror}") from error

    def _remove_made(self) -> None:
        for folder in self.made:
            try:
                folder.rmdir()
            except OSError:
                return


def _exchange(staged: Path, target: Path) -> None:
    """Replace a directory by another one; the old one comes back if that fails.

    It waits beside its place, not in the hidden folder: whatever happens meanwhile, nobody
    removes it.
    """
    aside = Path(tempfile.mkdtemp(prefix=f"{PREFIX}old-", dir=target.parent))
    old = aside / target.name
    try:
        target.rename(old)
        staged.rename(target)
    except BaseException:
        if old.exists():
            old.rename(target)
        aside.rmdir()
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
