"""Load every model in a folder of old ones and tell which compute what their writer did.

A model is ``WRITER/MODEL.h5``, ``.keras`` or ``.savedmodel`` with the writer's own numbers beside
it, in ``MODEL.in.npz`` (x0, x1, ...) and ``MODEL.out.npz`` (y0, ...). It counts as equal if no
output is further from them than 1e-5 of the output's range.

Run it with ``.venv/bin/python scripts/legacy_table.py [FOLDER]``; it prints Markdown.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

import foldbn
from foldbn.errors import FoldbnError
from foldbn.frontends.frozen import FrozenModel
from foldbn.frontends.loading import load
from foldbn.frontends.precision import GraphRunner

MODELS = Path(__file__).resolve().parent.parent / ".." / "shared" / "models"
TOLERANCE = 1e-5
SUFFIXES = (".h5", ".hdf5", ".keras", ".savedmodel")


def files_in(folder: Path) -> list[Path]:
    """Return the Keras files and SavedModels in a folder and its subfolders."""
    return sorted(path for path in folder.rglob("*") if path.suffix in SUFFIXES)


def distance(model: FrozenModel, path: Path) -> float | None:
    """Return how far outputs are from the stored ones, in parts of the output's range."""
    stem = path.with_suffix("")
    if not stem.with_suffix(".out.npz").exists():
        return None
    with np.load(f"{stem}.in.npz") as given, np.load(f"{stem}.out.npz") as wanted:
        feed = {port.node: given[f"x{i}"].astype(port.dtype) for i, port in enumerate(model.inputs)}
        found = GraphRunner(model).run([port.node for port in model.outputs], feed)
        if len(found) != len(wanted.files):
            return float("inf")
        truths = [wanted[f"y{i}"] for i in range(len(found))]
    pairs = zip(found, truths, strict=True)
    return max(float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-30)) for a, b in pairs)


def judge(path: Path, options: argparse.Namespace) -> Iterator[str]:
    """Yield the columns that a file counts in; print why where it fails."""
    yield "files"
    name = f"{path.parent.name}/{path.name}"
    try:
        model = load(path, custom_objects=options.custom_objects).original
        yield "loaded"
        far = distance(model, path)
        if far is not None and far <= TOLERANCE:
            yield "equal"
        elif far is not None:
            print(f"- {name}: WRONG, {far:.1e} of the range")
        if options.convert:
            with tempfile.TemporaryDirectory() as folder:
                foldbn.convert(
                    path,
                    output_dir=folder,
                    bench=False,
                    to=options.to,
                    custom_objects=options.custom_objects,
                )
            yield "converted"
    except FoldbnError as error:
        hint = f" ({error.hint})" if error.hint else ""
        print(f"- {name}: {error.id} {error.message.replace(str(path), path.name)}{hint}")


def main() -> None:
    """Judge each file, list what was refused, and print one row for each writer and format."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", type=Path, default=[MODELS / "legacy"])
    parser.add_argument("--convert", action="store_true", help="convert and verify as well")
    parser.add_argument("--to", action="append", choices=("onnx", "tflite"), default=None)
    parser.add_argument("--custom-objects", type=Path, help="as for foldbn convert")
    options = parser.parse_args()
    options.to = options.to or ["onnx", "tflite"]
    rows: dict[tuple[str, str], Counter[str]] = {}
    for folder in options.folders:
        for path in files_in(folder):
            row = rows.setdefault((path.parent.name, path.suffix), Counter())
            row.update(judge(path, options))
    columns = ["files", "loaded", "equal", *(["converted"] if options.convert else [])]
    print(f"\n| writer | format | {' | '.join(columns)} |\n|---|---|{'---|' * len(columns)}")
    for (writer, suffix), row in sorted(rows.items()):
        cells = [writer, suffix, *(str(row[column]) for column in columns)]
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
