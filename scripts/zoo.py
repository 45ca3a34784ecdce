"""Convert the networks of keras.applications and tell what became of their layers.

Each network is built without weights, and its normalizations are drawn at random, with some
negative and some zero gammas, so that activations keep the scale of a trained network's
(`weights`). ``foldbn convert --no-bench`` then runs on it as a process of its own, proof
included, with generated inputs and a few made-up images. The greatest networks are only
counted: loaded, planned and applied, not proven and not exported.

Run it with ``.venv/bin/python scripts/zoo.py [NETWORK ...]``. It prints Markdown, and writes
JSON after each network into ``--output``; with ``--resume`` it goes on where that file ends.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from processes import Run, run

SCRIPTS = Path(__file__).resolve().parent
# The side of the square input that each network is built for: small where it allows.
NETWORKS = {
    "MobileNet": 96,
    "MobileNetV2": 96,
    "MobileNetV3Small": 96,
    "MobileNetV3Large": 96,
    "NASNetMobile": 96,
    "Xception": 71,
    "InceptionV3": 75,
    "InceptionResNetV2": 75,
    **{f"ResNet{depth}{version}": 64 for version in ("", "V2") for depth in (50, 101, 152)},
    **{f"DenseNet{depth}": 64 for depth in (121, 169, 201)},
    **{f"EfficientNetB{number}": 64 for number in range(4)},
    **{f"EfficientNetV2B{number}": 64 for number in range(4)},
}
COUNTED = {
    "NASNetLarge": 331,
    **{f"EfficientNetB{number}": 224 for number in range(4, 8)},
    **{f"EfficientNetV2{size}": 224 for size in ("S", "M", "L")},
}
# No BatchNormalization in these: what happens to a network that has nothing to fold?
WITHOUT = {"ConvNeXtTiny": 64, "VGG16": 64}
COUNT_BAR_S = {"NASNetLarge": 3.0}
OUTCOMES = ("folded", "merged", "lowered", "kept")
COLUMNS = (
    *("network", "affine layers", *OUTCOMES, "algebra", "rounding", "ONNX nodes"),
    *("TFLite nodes", "fold", "total", "peak memory"),
)


def examine(name: str, folder: Path) -> dict[str, Any]:
    """Build one network, convert or count it, and return its figures."""
    counted = name in COUNTED
    side = {**NETWORKS, **COUNTED, **WITHOUT}[name]
    model, samples = folder / "model.keras", folder / "samples.npy"
    make = [sys.executable, SCRIPTS / "networks.py", name, model, "--samples", samples]
    run([*make, "--side", str(side), "--classes", "10"])
    if counted:
        return figures(run([sys.executable, SCRIPTS / "zoo_count.py", model]), side)
    command = [sys.executable, "-m", "foldbn", "convert", model, "--no-bench", "--json"]
    return figures(run([*command, "--overwrite", "--samples", samples], check=False), side)


def figures(done: Run, side: int) -> dict[str, Any]:
    """Return what a run of the command, or of `zoo_count`, tells and took."""
    told = json.loads(done.output)
    took = {"side": side, "seconds": round(done.seconds, 1), "peak_gb": round(done.peak_gb, 2)}
    if "error" in told:
        return {"error": told["error"]["message"], **took}
    took |= {f"{phase}_s": seconds for phase, seconds in told["timings_s"].items()}
    row = {**told["summary"], **took}
    if "verification" not in told:
        return row
    return {
        **row,
        "algebra": told["verification"]["algebra"]["max_rel"],
        "rounding": all(each["verification"]["passed"] for each in told["artifacts"]),
        "nodes": {each["format"]: each["nodes"] for each in told["artifacts"]},
    }


def told(name: str, row: dict[str, Any]) -> str:
    """Return a network's figures as one row of Markdown."""
    if "error" in row:
        reason = row["error"].replace("|", "/")[:80]  # a bar would end the cell
        cells = [f"{name} {row['side']}", reason, *[""] * (len(COLUMNS) - 4)]
        return _line([*cells, f"{row['seconds']} s", f"{row['peak_gb']} GB"])
    cells = [f"{name} {row['side']}", row["affine_layers"], *(row[each] for each in OUTCOMES)]
    if "algebra" in row:
        nodes = [row["nodes"][kind] for kind in ("onnx", "tflite")]
        cells += [f"{row['algebra']:.0e}", "passed" if row["rounding"] else "FAILED"]
        cells += [f"{each['before']} -> {each['after']}" for each in nodes]
    else:
        cells += ["counted only", "", "", ""]
    bar = COUNT_BAR_S.get(name)
    verdict = f" (bar {bar:.0f} s: {'pass' if row['fold_s'] <= bar else 'MISS'})" if bar else ""
    cells += [f"{row['fold_s']:.2f} s{verdict}", f"{row['seconds']} s", f"{row['peak_gb']} GB"]
    return _line(cells)


def _line(cells: list[Any]) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def earlier(path: Path) -> dict[str, Any]:
    """Return what an earlier run wrote; nothing where it was ended before its first network."""
    return json.loads(path.read_text()) if path.exists() else {}


def keep(path: Path, found: dict[str, Any]) -> None:
    """Write all figures; whoever ends this process leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(found, indent=2) + "\n")
    draft.replace(path)


def main() -> None:
    """Examine each network and print its row as soon as it is there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help="default: all with BN")
    parser.add_argument("--output", type=Path, default=Path("build/zoo.json"))
    parser.add_argument("--resume", action="store_true", help="keep what --output has already")
    parser.add_argument("--without-bn", action="store_true", help="add networks without BN")
    options = parser.parse_args()
    found = earlier(options.output) if options.resume else {}
    names = options.networks or [*NETWORKS, *COUNTED]
    names += [name for name in WITHOUT if options.without_bn and name not in names]
    print(_line(list(COLUMNS)))
    print("|---" * len(COLUMNS) + "|")
    for name, row in found.items():
        print(told(name, row))
    for name in names:
        if name in found:
            continue
        with tempfile.TemporaryDirectory() as folder:
            found[name] = examine(name, Path(folder))
        print(told(name, found[name]), flush=True)
        keep(options.output, found)


if __name__ == "__main__":
    main()
