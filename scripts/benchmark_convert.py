"""Wall time of ``foldbn convert --no-bench`` against a script that only exports.

The script loads the same file, calls ``model.export(format="onnx")`` and
``TFLiteConverter.from_keras_model``: no folding, no proof. Both are whole processes, run in
turn, so that a drift of the machine's speed meets both alike; the ratio is per pair.

Run it with ``.venv/bin/python scripts/benchmark_convert.py``.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
EXPORT_ONLY = """
import sys
import keras, numpy, tensorflow
model = keras.models.load_model(sys.argv[1], compile=False)
model(numpy.zeros((1, *model.input_shape[1:]), numpy.float32))
model.export(sys.argv[2] + "/plain.onnx", format="onnx", verbose=False)
content = tensorflow.lite.TFLiteConverter.from_keras_model(model).convert()
open(sys.argv[2] + "/plain.tflite", "wb").write(content)
"""


def wall_seconds(command: list[str]) -> float:
    """Run a command to its end and return how long it took."""
    start = time.perf_counter()
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run(command, check=True, capture_output=True, env=environment)
    return time.perf_counter() - start


def main() -> None:
    """Time both in turn and print each pair and the median ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", type=Path, default=FIXTURES / "mlp_bn_after.h5")
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args()
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        convert = [sys.executable, "-m", "foldbn", "convert", str(options.model)]
        convert += ["--no-bench", "--overwrite", "--output-dir", folder]
        export = [sys.executable, "-c", EXPORT_ONLY, str(options.model), folder]
        wall_seconds(export)  # the first run reads everything from the disk
        for _ in range(options.pairs):
            ours, theirs = wall_seconds(convert), wall_seconds(export)
            ratios.append(ours / theirs)
            print(f"foldbn {ours:.1f} s, export only {theirs:.1f} s, ratio {ratios[-1]:.2f}")
    print(f"median ratio {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
