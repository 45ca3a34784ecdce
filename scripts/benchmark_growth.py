"""How the wall time and the peak memory of ``foldbn convert --no-bench`` grow with the weights.

One network of convolutions and Dense layers (`networks.scaled`) is made with 50, 100, 200 and
400 MB of weights. Wall time and memory are each fitted with a line, ``a + b * weights``; growth
counts as linear where no point is further from its line than 10 %. Memory is that of the
process tree (`processes`).

Run it with ``.venv/bin/python scripts/benchmark_growth.py [MEGABYTES ...]``; it prints
Markdown, and JSON into ``--output``.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from benchmark_convert import SCRIPTS, convert_command
from processes import run

SIZES_MB = (50, 100, 200, 400)
LINEAR_WITHIN = 0.10
# The bar for the memory: so many bytes for each byte of weights, and so many GB besides.
PER_BYTE, BESIDES_GB = 8, 1.2


class Line(NamedTuple):
    """A fit ``start + slope * x``, and its worst point's distance as a share of the fit."""

    start: float
    slope: float
    deviation: float

    @property
    def linear(self) -> bool:
        """Whether every point is close to the line."""
        return self.deviation <= LINEAR_WITHIN


def fit(x: Sequence[float], y: Sequence[float]) -> Line:
    """Fit a line by least squares of the relative errors.

    Relative, since small sizes would otherwise count for nothing.

    Args:
        x: at least two places.
        y: what was measured there, > 0.
    """
    places, measured = np.asarray(x, float), np.asarray(y, float)
    terms = np.stack([np.ones_like(places), places], axis=1) / measured[:, None]
    (start, slope), *_ = np.linalg.lstsq(terms, np.ones_like(places), rcond=None)
    fitted = start + slope * places
    return Line(float(start), float(slope), float(np.abs(measured / fitted - 1).max()))


def allowed_gb(megabytes: float) -> float:
    """Return the memory that so many 1e6 bytes of weights may take, in units of 1e9 bytes."""
    return PER_BYTE * megabytes / 1e3 + BESIDES_GB


def measure(megabytes: float, repeats: int) -> dict[str, float]:
    """Build a network of that size and convert it; return the best wall time and worst peak."""
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "scaled.keras"
        run([sys.executable, SCRIPTS / "networks.py", str(megabytes), model])
        size = model.stat().st_size / 1e6
        runs = [run(convert_command(model, Path(folder))) for _ in range(repeats)]
    return {
        "megabytes": round(size, 1),
        "seconds": round(min(each.seconds for each in runs), 2),
        "peak_gb": round(max(each.peak_gb for each in runs), 3),
    }


def main() -> None:
    """Measure each size, print its row as soon as it is there, then the two lines."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sizes", nargs="*", type=float, default=SIZES_MB, metavar="MEGABYTES")
    parser.add_argument("--repeats", type=int, default=2, help="runs for each size")
    parser.add_argument("--output", type=Path, help="a JSON file to write")
    options = parser.parse_args()
    print("| weights | wall | peak memory | allowed | |\n|---|---|---|---|---|")
    rows = []
    for size in options.sizes:
        row = measure(size, options.repeats)
        rows.append(row)
        allowed = allowed_gb(row["megabytes"])
        verdict = "pass" if row["peak_gb"] <= allowed else "MISS"
        print(f"| {row['megabytes']} MB | {row['seconds']:.1f} s | {row['peak_gb']:.2f} GB", end="")
        print(f" | {allowed:.2f} GB | {verdict} |", flush=True)
    lines = {}
    if len(rows) > 1:
        print()
        places = [row["megabytes"] for row in rows]
        for name, unit in (("seconds", "s"), ("peak_gb", "GB")):
            line = lines[name] = fit(places, [row[name] for row in rows])
            told = f"{line.start:.2f} + {1000 * line.slope:.2f} per GB of weights"
            off = f"furthest point off by {100 * line.deviation:.1f} %"
            print(f"{name} ({unit}): {told}; {off}: {'linear' if line.linear else 'NOT linear'}")
    if options.output:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        document = {"rows": rows, "lines": {name: line._asdict() for name, line in lines.items()}}
        options.output.write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
