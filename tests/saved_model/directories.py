"""Conversion to a SavedModel alone, and what lies in a directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import foldbn

KIND = ("savedmodel",)


def convert(model: Path, folder: Path, **options: Any) -> foldbn.Conversion:
    """Convert to a SavedModel alone, without timing."""
    return foldbn.convert(model, output_dir=folder, to=KIND, bench=False, **options)


def files_in(folder: Path) -> dict[str, bytes]:
    """Return the content of every file in a folder, by its path from there."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def entries_of(folder: Path) -> set[str]:
    """Return the names of what lies in a folder."""
    return {path.name for path in folder.iterdir()}
