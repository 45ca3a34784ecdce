"""Convert the networks of keras.applications and tell what became of their layers.

Each network is built without weights, every BatchNormalization gets random statistics in a
realistic range with some negative and some zero gammas, and ``foldbn convert --no-bench``
runs on it as a process of its own, so that time and peak memory are the whole command's.

Run it with ``.venv/bin/python scripts/zoo.py [NETWORK ...]``; it prints Markdown, and JSON
into ``--output``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

# The side of the square input that each network is built for: small where it allows.
NETWORKS = {
    "MobileNet": 96,
    "MobileNetV2": 96,
    "MobileNetV3Small": 96,
    "MobileNetV3Large": 96,
    "NASNetMobile": 224,
    "Xception": 71,
    "InceptionV3": 75,
    "InceptionResNetV2": 75,
    "ResNet50": 64,
    "ResNet101": 64,
    "ResNet50V2": 64,
    "ResNet101V2": 64,
    "DenseNet121": 64,
    "EfficientNetB0": 64,
    "EfficientNetV2B0": 64,
}


def build(name: str) -> keras.Model:
    """Return a network with random statistics in all its normalizations."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    side = NETWORKS[name]
    constructor = getattr(keras.applications, name)
    model = constructor(weights=None, input_shape=(side, side, 3), classes=10)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([_draw(rng, weight) for weight in layer.weights])
    return model


def _draw(rng: np.random.Generator, weight: keras.Variable) -> np.ndarray:
    shape = weight.shape
    match weight.name:
        case "gamma":
            gamma = rng.uniform(0.5, 1.5, shape)
            gamma[rng.random(shape) < 0.1] *= -1
            gamma[rng.random(shape) < 0.03] = 0
            return gamma
        case "moving_variance":
            return rng.uniform(0.5, 1.5, shape)
        case _:
            return rng.normal(0, 0.3, shape)


def convert(model: keras.Model, folder: Path) -> dict[str, object]:
    """Convert a network with the command and return a row of figures."""
    path = folder / "model.keras"
    model.save(path)
    command = [sys.executable, "-m", "foldbn", "convert", path, "--no-bench", "--json"]
    start = time.perf_counter()
    process = subprocess.Popen(
        [*command, "--overwrite"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    told = json.loads(process.stdout.read())
    # The usage of a process that has been waited for includes that of its own children.
    _, _, usage = os.wait4(process.pid, 0)
    seconds, peak = time.perf_counter() - start, usage.ru_maxrss / 1e6
    if "error" in told:
        return {"error": told["error"]["message"], "seconds": round(seconds, 1)}
    layers = [d for d in told["decisions"] if d["kind"] == "BatchNormalization"]
    outcomes = [decision["outcome"] for decision in layers]
    return {
        "layers": len(layers),
        **{name: outcomes.count(name) for name in ("folded", "merged", "lowered", "kept")},
        "algebra": told["verification"]["algebra"]["max_rel"],
        "rounding": all(a["verification"]["passed"] for a in told["artifacts"]),
        "nodes": {a["format"]: a["nodes"] for a in told["artifacts"]},
        "seconds": round(seconds, 1),
        "peak_gb": round(peak, 1),
    }


def main() -> None:
    """Convert each network, print its row as soon as it is there, write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", default=list(NETWORKS), metavar="NETWORK")
    parser.add_argument("--output", type=Path, help="a JSON file to write")
    options = parser.parse_args()
    print(
        "| network | BN | folded | merged | lowered | kept | algebra | rounding"
        " | ONNX nodes | time | peak memory |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    found = {}
    for name in options.networks:
        keras.backend.clear_session()
        with tempfile.TemporaryDirectory() as folder:
            row = found[name] = convert(build(name), Path(folder))
        print(_told(name, row), flush=True)
    if options.output:
        options.output.write_text(json.dumps(found, indent=2) + "\n")


def _told(name: str, row: dict) -> str:
    if "error" in row:
        return f"| {name} | {row['error']} |"
    nodes = row["nodes"]["onnx"]
    parts = [name, *(row[key] for key in ("layers", "folded", "merged", "lowered", "kept"))]
    parts += [f"{row['algebra']:.0e}", "passed" if row["rounding"] else "FAILED"]
    parts += [f"{nodes['before']} -> {nodes['after']}", f"{row['seconds']} s"]
    return f"| {' | '.join(map(str, [*parts, str(row['peak_gb']) + ' GB']))} |"


if __name__ == "__main__":
    main()
