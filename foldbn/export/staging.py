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
_SUFFIXES = ("savedmodel", "saved_model", "tf", "keras", "h5")


def plan_targets(
    model: Path, output_dir: Path | None, suffixes: tuple[str, ...], *, overwrite: bool
) -> tuple[Path, ...]:
    """Return where the artefacts go: ``<stem><suffix>`` beside the model or in `output_dir`.

    Raises:
        OutputIsInput: an artefact would replace the model, or land inside it.
        OutputExists: a file is there already, and `overwrite` does not allow to replace it.
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
        if target.exists() and model.exists() and target.samefile(model):
            raise OutputIsInput(
                f"{str(target)!r} is the model itself", "choose another --output-dir"
            )
        if target.is_dir():
            raise OutputExists(f"{str(target)!r} is a directory", "choose another --output-dir")
        if target.exists() and not overwrite:
            raise OutputExists(f"{str(target)!r} exists", "--overwrite replaces it")
    return targets


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

    def publish(self, targets: dict[Path, Path]) -> None:
        """Give staged files their final names, each in one step.

        Args:
            targets: from a staged file to its final name.

        Raises:
            WriteFailed: a name cannot be taken.
        """
        for staged, target in targets.items():
            try:
                staged.chmod(0o666 & ~_umask())
                staged.replace(target)
            except OSError as error:
                raise WriteFailed(f"cannot write {str(target)!r}: {error.strerror}") from error

    def _remove_made(self) -> None:
        for folder in self.made:
            try:
                folder.rmdir()
            except OSError:
                return


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
