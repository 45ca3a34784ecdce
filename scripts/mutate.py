"""Break the engine on purpose, one fault at a time, and see that a test notices each.

    python scripts/mutate.py [WORD]       only faults whose name contains WORD

The faults stand in faults.txt. Works on a temporary copy of foldbn/ and tests/. Prints one
line per fault; exits with 1 if a fault survives, if a text to replace is gone, or if the tests
fail without any fault.

A fault of the exporters is for the test of its own file, one of the rest for the engine's tests.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
ENGINE = ("test_affine.py", "test_ops.py", "test_graph.py", "rules", "folding")
OUTSIDE = "export/"


class Fault(NamedTuple):
    """One text of one file of foldbn/, and what takes its place."""

    name: str
    file: str
    old: str
    new: str


def read_faults(text: str) -> list[Fault]:
    """Read file names in column 0, and under each the name, ``- old`` and ``+ new`` of faults."""
    faults, file, name, old = [], "", "", ""
    for line in text.splitlines():
        word = line.strip()
        if not word or word.startswith("#"):
            continue
        if not line.startswith(" "):
            file = word
        elif word.startswith("- "):
            old = word[2:]
        elif word.startswith("+ "):
            faults.append(Fault(name, file, old, word[2:]))
        else:
            name = word
    return faults


def tests_of(file: str) -> tuple[str, ...]:
    """Return the tests that must notice a fault in a file of foldbn/."""
    folder, _, name = file.rpartition("/")
    return (f"{folder}/test_{name}",) if file.startswith(OUTSIDE) else ENGINE


def run_tests(root: Path, tests: Iterable[str]) -> str | None:
    """Return the first of these tests that fails in the copy at `root`, or None."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(root)}
    run = subprocess.run(
        [*command, *(f"tests/{each}" for each in tests)],
        cwd=root, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if run.returncode == 0:
        return None
    found = re.search(r"^(?:FAILED|ERROR) tests/(.*?)(?: - .*)?$", run.stdout, re.MULTILINE)
    return found[1] if found else run.stdout[-300:] + run.stderr[-300:]


def try_fault(fault: Fault, root: Path) -> tuple[str, bool]:
    """Return which test catches `fault`, and whether one does."""
    file = root / "foldbn" / fault.file
    original = file.read_text()
    if fault.old not in original:
        return "TEXT NOT FOUND", False
    file.write_text(original.replace(fault.old, fault.new, 1))
    try:
        caught = run_tests(root, tests_of(fault.file))
    finally:
        file.write_text(original)
    return caught or "SURVIVED", caught is not None


def main(word: str = "") -> int:
    """Try every fault whose name contains `word`."""
    faults = read_faults(Path(__file__).with_name("faults.txt").read_text())
    faults = [fault for fault in faults if word in fault.name]
    if not faults:
        print(f"no fault is called {word!r}")
        return 1
    width = max(len(fault.name) for fault in faults)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for each in ("foldbn", "tests"):
            shutil.copytree(ROOT / each, root / each, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", root)
        tests = dict.fromkeys(each for fault in faults for each in tests_of(fault.file))
        if (broken := run_tests(root, tests)) is not None:
            print(f"without any fault, this fails already: {broken}")
            return 1
        missed = 0
        for fault in faults:
            verdict, caught = try_fault(fault, root)
            missed += not caught
            print(f"{fault.name:{width}}  {fault.file:19}  {verdict}", flush=True)
    print(f"{len(faults) - missed} of {len(faults)} faults caught")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
