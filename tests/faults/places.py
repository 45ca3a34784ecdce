"""A folder in which nothing may change, and a command at work there."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from tests.command import started

SABOTEUR = Path(__file__).parents[1] / "saboteur"
PHASES = {
    "load": "loading the model",
    "fold": "folding",
    "verify": "verifying",
    "export": "exporting",
    "bench": "timing",
}


class Place:
    """A model, older artefacts beside it, and a temporary folder: what must stay as it is."""

    def __init__(self, folder: Path, network: Path) -> None:
        self.folder = folder
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self.out = folder / "out"
        self.out.mkdir()
        self.model = Path(shutil.copy(network, self.out / "model.h5"))
        for name in ("model.onnx", "model.tflite"):
            (self.out / name).write_bytes(b"old")
        self.before = self.contents()

    def contents(self) -> dict[str, bytes]:
        """Return every file below the folder, hidden ones too."""
        files = (path for path in sorted(self.folder.rglob("*")) if path.is_file())
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in files
            # TensorFlow removes these when its process ends.
            if not path.name.startswith("__autograph_generated_file")
        }

    def command(self, *options: str, **environment: str) -> Any:
        """Start a conversion that replaces the older artefacts."""
        command = ("convert", self.model, "--overwrite", *options)
        return started(*command, TMPDIR=str(self.temporary), **environment)

    def killed_at(self, event: str, count: int, who: str, number: int) -> Any:
        """Start a conversion that ends itself at a step of its work with files."""
        return self.command(
            "--no-bench",
            PYTHONPATH=str(SABOTEUR),
            FOLDBN_TEST_KILL=f"{event}:{count}:{who}:{number:d}",
        )

    def assert_untouched(self) -> None:
        """Assert that all files are what they were, and that no folder has come."""
        assert self.contents() == self.before
        assert {path.name for path in self.folder.rglob("*") if path.is_dir()} == {"tmp", "out"}
