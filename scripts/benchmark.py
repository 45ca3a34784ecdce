"""Latency of the fixture networks: plain Keras export, foldbn, and the twin without any BN.

Every figure is a ratio measured within one run, in interleaved fresh session pairs:

* ``plain / foldbn``: Keras's own ``model.export(format="onnx")`` over foldbn's file;
* ``foldbn / twin``: foldbn's file over the plain export of the same network built without
  BatchNormalization.

Run it with ``.venv/bin/python scripts/benchmark.py``; it prints Markdown, and JSON into
``--output``. onnxruntime, CPU provider, ORT_ENABLE_ALL, one thread, batch 1.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import foldbn
from foldbn.benchmark import measure_pair
from foldbn.results import BenchmarkRow

FIXTURES = Path(__file__).resolve().parent.parent / "fixtures"
NETWORKS = ("mlp_bn_after", "mlp_bn_before")
PROVIDER = "CPUExecutionProvider"


def twin(model: keras.Model) -> keras.Model:
    """Return the same network without BatchNormalization, its Dense layers with a bias."""
    layers = []
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            continue
        config = layer.get_config()
        if isinstance(layer, keras.layers.Dense):
            config["use_bias"] = True
        layers.append(type(layer).from_config(config))
    bare = keras.Sequential([keras.Input(model.input_shape[1:]), *layers])
    # A zero bias would be optimized away: give every weight a value.
    rng = np.random.default_rng(0)
    bare.set_weights([rng.normal(scale=0.05, size=w.shape) for w in bare.get_weights()])
    return bare


def plain_export(model: keras.Model, path: Path) -> Path:
    """Write a model with Keras's own ONNX export."""
    model(np.zeros((1, *model.input_shape[1:]), np.float32))
    model.export(path, format="onnx", verbose=False)
    return path


def measure(name: str, folder: Path, pairs: int) -> dict[str, BenchmarkRow]:
    """Return both comparisons for one network."""
    model = keras.models.load_model(FIXTURES / f"{name}.h5", compile=False)
    plain = plain_export(model, folder / f"{name}_plain.onnx")
    bare = plain_export(twin(model), folder / f"{name}_twin.onnx")
    source = FIXTURES / f"{name}.h5"
    foldbn.convert(source, output_dir=folder, to=["onnx"], bench=False, overwrite=True)
    folded = folder / f"{name}.onnx"
    settings = {"provider": PROVIDER, "threads": 1, "batch_size": 1, "seed": 0, "pairs": pairs}
    return {
        "plain / foldbn": measure_pair(plain, folded, **settings),
        "foldbn / twin": measure_pair(folded, bare, **settings),
    }


def main() -> None:
    """Measure every network, print a table, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, help="a JSON file to write")
    parser.add_argument("--pairs", type=int, default=24, help="session pairs for each ratio")
    options = parser.parse_args()
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in NETWORKS:
            found[name] = measure(name, Path(folder), options.pairs)
    print("| network | comparison | ratio | 95 % interval | noise (A/A) |")
    print("|---|---|---|---|---|")
    for name, rows in found.items():
        for what, row in rows.items():
            low, high = row.speedup_ci95
            noise = "{:.3f} to {:.3f}".format(*row.noise_ci95)
            print(f"| {name} | {what} | {row.speedup:.3f} | {low:.3f} to {high:.3f} | {noise} |")
    if options.output:
        figures = {
            name: {what: [row.speedup, *row.speedup_ci95] for what, row in rows.items()}
            for name, rows in found.items()
        }
        options.output.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
