"""Wall time and peak memory of ``foldbn convert --no-bench`` against a script that only exports.

The script loads the same file, calls ``model.export(format="onnx")`` and
``TFLiteConverter.from_keras_model``: no folding, no proof. Both are whole processes, run in
turn, so that a drift of the machine's speed meets both alike; ratios are per pair. Memory is
that of the process tree: the greatest sum of the RSS of all its processes, sampled every
50 ms, or the high water mark of one of them if that is more (`processes`).

Run it with ``.venv/bin/python scripts/benchmark_convert.py [MODEL]`` or
``--network ResNet50``; it prints Markdown, and JSON into ``--output``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

from processes import Run, run

SCRIPTS = Path(__file__).resolve().parent
FIXTURES = SCRIPTS.parent / "fixtures"
WALL_BAR, PEAK_BAR = 0.7, 0.5
EXPORT_ONLY = """
import sys
import keras, numpy, tensorflow
model = keras.models.load_model(sys.argv[1], compile=False)
model(numpy.zeros((1, *model.input_shape[1:]), numpy.float32))
model.export(sys.argv[2] + "/plain.onnx", format="onnx", verbose=False)
content = tensorflow.lite.TFLiteConverter.from_keras_model(model).convert()
open(sys.argv[2] + "/plain.tflite", "wb").write(content)
"""


def convert_command(model: Path, folder: Path) -> list[str | Path]:
    """Return the command that folds, proves and writes both formats."""
    command = [sys.executable, "-m", "foldbn", "convert", model, "--no-bench", "--quiet"]
    return [*command, "--overwrite", "--output-dir", folder]


def compare(model: Path, pairs: int) -> list[tuple[Run, Run]]:
    """Run both in turn and return each pair: foldbn, then the script that only exports."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        export = [sys.executable, "-c", EXPORT_ONLY, model, folder]
        for number in range(pairs):
            # Who goes first changes: what one reads from the disk the other finds in memory.
            if number % 2:
                ours = run(convert_command(model, Path(folder)))
                theirs = run(export)
            else:
                theirs = run(export)
                ours = run(convert_command(model, Path(folder)))
            found.append((ours, theirs))
            print(f"| {number + 1} | {_told(ours)} | {_told(theirs)} | {_ratios(ours, theirs)} |")
            sys.stdout.flush()
    return found


def summary(pairs: list[tuple[Run, Run]]) -> dict[str, float]:
    """Return the median over the pairs of each ratio, foldbn over the script."""
    return {
        "wall": statistics.median(ours.seconds / theirs.seconds for ours, theirs in pairs),
        "peak": statistics.median(ours.peak_gb / theirs.peak_gb for ours, theirs in pairs),
    }


def _told(run: Run) -> str:
    return f"{run.seconds:.1f} s | {run.peak_gb:.2f} GB"


def _ratios(ours: Run, theirs: Run) -> str:
    return f"{ours.seconds / theirs.seconds:.2f} | {ours.peak_gb / theirs.peak_gb:.2f}"


def verdict(ratio: float, bar: float) -> str:
    """Say whether a ratio is within its bar."""
    return "pass" if ratio <= bar else "MISS"


def main() -> None:
    """Measure, print each pair as it is there and the medians, write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", type=Path, default=FIXTURES / "mlp_bn_after.h5")
    parser.add_argument("--network", help="build this one of keras.applications instead")
    parser.add_argument("--side", type=int, default=224, help="of the network's square input")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--output", type=Path, help="a JSON file to write")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = options.model
        if options.network:
            model = Path(folder) / f"{options.network}.keras"
            make = [sys.executable, SCRIPTS / "networks.py", options.network, model]
            run([*make, "--side", str(options.side)])
        print(f"{model.name}, {model.stat().st_size / 1e6:.1f} MB\n")
        print("| pair | foldbn | peak | export only | peak | wall ratio | peak ratio |")
        print("|---|---|---|---|---|---|---|")
        pairs = compare(model, options.pairs)
    median = summary(pairs)
    for name, bar in (("wall", WALL_BAR), ("peak", PEAK_BAR)):
        print(f"\nmedian {name} ratio {median[name]:.2f}, bar <= {bar}: ", end="")
        print(verdict(median[name], bar))
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        rows = [
            {"foldbn": [ours.seconds, ours.peak_gb], "export": [theirs.seconds, theirs.peak_gb]}
            for ours, theirs in pairs
        ]
        document = {"model": model.name, "median": median, "pairs": rows}
        options.output.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
