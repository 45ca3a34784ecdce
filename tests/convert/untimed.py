"""Conversion without timing, and what it leaves in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import foldbn


def convert(model: Path, folder: Path, **options: Any) -> foldbn.Conversion:
    """Convert without timing, into `folder`."""
    return foldbn.convert(model, output_dir=folder, bench=False, **options)


def names(folder: Path) -> set[str]:
    """Return the names of what lies in a folder."""
    return {path.name for path in folder.iterdir()}
