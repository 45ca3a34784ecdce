"""Latency of networks as foldbn writes them, and as others do, side by side in one run.

The arms, for onnxruntime (ORT_ENABLE_ALL, on ``--provider``) and for LiteRT:

* ``foldbn``: what ``foldbn convert`` writes;
* ``plain``: ``model.export(format="onnx")``, or ``TFLiteConverter.from_keras_model``;
* ``slim``, ``sim``: the plain ONNX file after onnxslim and onnxsim, where they are installed
  (``pip install -c constraints.txt -e '.[peers]'``);
* ``twin``: the plain export of the same network without BatchNormalization, its layers with a
  bias.

All arms of a network run side by side: in each group every arm gets a fresh session, their
calls alternate in short blocks, and the order changes. A ratio is the median over groups, with
a bootstrap interval; a second session of foldbn's file tells the noise. This is what
`foldbn.benchmark.measure_pair` does, with more than two arms at once.

``.venv/bin/python scripts/benchmark.py [NETWORK ...]`` makes the files that it needs in
``--work`` (``--build`` does only that), prints Markdown, and writes JSON after each network
into ``--output``; with ``--resume`` it goes on where that file ends. Latencies mean something
on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import benchmark_artifacts as artifacts
import numpy as np
from benchmark_bars import bars, leftovers, ratio, verdict

from foldbn.benchmark.formats import format_of
from foldbn.benchmark.plan import plan_for
from foldbn.benchmark.providers import CPU, resolve
from foldbn.benchmark.sessions import open_runner
from foldbn.benchmark.timing import cost_of, no_garbage_collection, time_group

NETWORKS = (
    *("mlp", "cnn", "conv1d_resnet", "dense_resnet"),
    *("MobileNetV2", "ResNet50", "ResNet50V2", "DenseNet121"),
)
SIDE = 224
RUNTIMES = {"onnx": artifacts.ONNX_ARMS, "tflite": artifacts.TFLITE_ARMS}
AGAIN = "foldbn again"
RATIOS = (
    *(("plain", "foldbn"), ("foldbn", "slim"), ("foldbn", "sim"), ("foldbn", "twin")),
    (AGAIN, "foldbn"),
)


def time_arms(
    files: Mapping[str, Path], batch: int, *, provider: str, groups: int, budget_s: float
) -> dict[str, list[float]]:
    """Time files side by side.

    Args:
        files: by the name of the arm, all of one runtime; ``foldbn`` is among them.
        batch: samples per call.
        provider: onnxruntime's full name; inputs and outputs stay in its memory.
        groups: of fresh sessions.
        budget_s: seconds after which no further group is started; at least one is.

    Returns:
        Each arm's median latency in each group, in milliseconds.
    """
    arms = {**files, AGAIN: files["foldbn"]}
    settings = partial(open_runner, provider=provider, threads=1, batch_size=batch, seed=0)
    openers = [partial(settings, path, format_of(path)) for path in arms.values()]
    deadline = time.perf_counter() + budget_s
    plan = plan_for(cost_of(openers), groups, budget_s)
    rng = np.random.default_rng(0)
    found: dict[str, list[float]] = {arm: [] for arm in arms}
    with no_garbage_collection():
        for turn in range(groups):
            if turn and time.perf_counter() > deadline:
                break
            # With so many arms a run sees few of all orders: another deal for each group.
            deal = rng.permutation(len(openers))
            spans = time_group([openers[place] for place in deal], plan, turn)
            for place, span in zip(deal, spans, strict=True):
                found[list(arms)[place]].append(float(np.median(span)) / 1e6)
    return found


def examine(
    folder: Path, runtime: str, batch: int, arms: list[str], options: argparse.Namespace
) -> dict[str, Any]:
    """Time one network in one runtime, and count what normalizations left in the files."""
    chosen = [arm for arm in RUNTIMES[runtime] if arm in arms]
    files = {arm: artifacts.file_of(folder, runtime, arm, batch) for arm in chosen}
    ops = {arm: artifacts.ops_of(path) for arm, path in files.items()}
    left = {arm: leftovers(ops[arm], ops["twin"]) for arm in ops if "twin" in ops}
    return {
        "runtime": runtime,
        "batch": batch,
        "left": left,
        "nodes": {arm: sum(count.values()) for arm, count in ops.items()},
        "ms": time_arms(
            files,
            batch,
            provider=options.provider,
            groups=options.groups,
            budget_s=options.budget,
        ),
    }


def told(network: str, row: dict[str, Any]) -> str:
    """Return one row of the table of ratios."""
    latencies, left = row["ms"], row["left"]
    cells = [network, row["runtime"], row["batch"], f"{np.median(latencies['foldbn']):.3g} ms"]
    for over, under in RATIOS:
        there = over in latencies and under in latencies
        cells.append(ratio(latencies[over], latencies[under]) if there else "")
    cells.append(f"{left.get('plain', '?')} -> {left['foldbn']}" if left else "")
    cells.append(len(latencies["foldbn"]))
    return f"| {' | '.join(map(str, cells))} |"


def judged(network: str, row: dict[str, Any]) -> list[str]:
    """Return the rows of the table of bars."""
    name, latencies = network.partition(" ")[0], row["ms"]
    rows = []
    for bar in bars(name, row["runtime"], row["batch"], list(latencies), row["left"].get("plain")):
        found = ratio(latencies[bar.over], latencies[bar.under])
        cells = (network, row["runtime"], row["batch"], bar, found, verdict(found, bar))
        rows.append(f"| {' | '.join(map(str, cells))} |")
    return rows


def print_bars(found: dict[str, Any]) -> None:
    """Print the table of bars; they are for one thread of a CPU."""
    print("\n| network | runtime | batch | bar | ratio | verdict |\n|---|---|---|---|---|---|")
    lines = [line for row in found.values() for line in judged(row["network"], row)]
    print("\n".join(lines))
    print(f"\n{sum('MISS' in line for line in lines)} of {len(lines)} bars missed")


def make_all(options: argparse.Namespace, arms: list[str]) -> tuple[dict[str, Path], int]:
    """Make the files of each network; return their folders, and how many networks failed."""
    folders: dict[str, Path] = {}
    for name in options.networks:
        folder = options.work / f"{name}-{options.gammas}{_sized(options, '-')}"
        start = time.perf_counter()
        try:
            artifacts.make(
                name, folder, arms, options.batches, gammas=options.gammas, side=options.side
            )
        except RuntimeError as error:
            print(f"{name} is left out: {error}", file=sys.stderr)
            continue
        folders[name] = folder
        print(f"{name}: files after {time.perf_counter() - start:.0f} s", file=sys.stderr)
    return folders, len(options.networks) - len(folders)


def _sized(options: argparse.Namespace, before: str) -> str:
    return "" if options.side == SIDE else f"{before}{options.side}"


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="*", default=NETWORKS, metavar="NETWORK")
    parser.add_argument("--arms", nargs="+", choices=artifacts.ONNX_ARMS[1:], help="beside foldbn")
    parser.add_argument("--runtimes", nargs="+", choices=RUNTIMES, default=list(RUNTIMES))
    parser.add_argument("--provider", default="cpu", help="of onnxruntime; LiteRT has its own")
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--gammas", choices=("mixed", "positive"), default="mixed")
    parser.add_argument("--side", type=int, default=SIDE, help="of keras.applications' inputs")
    parser.add_argument("--groups", type=int, default=24, help="of sessions, as far as they fit")
    parser.add_argument("--budget", type=float, default=60, help="seconds for all groups")
    parser.add_argument("--work", type=Path, default=Path("build/benchmark"), help="for the files")
    parser.add_argument("--build", action="store_true", help="make the files, time nothing")
    parser.add_argument("--output", type=Path, help="a JSON file to write after each network")
    parser.add_argument("--resume", action="store_true", help="keep what --output has already")
    options = parser.parse_args()
    (options.provider,) = resolve([options.provider])
    return options


def begun(options: argparse.Namespace) -> dict[str, Any]:
    """Return what an earlier run has found, where one is gone on with."""
    if not options.output:
        return {}
    options.output.parent.mkdir(parents=True, exist_ok=True)
    there = options.resume and options.output.exists()
    return dict(json.loads(options.output.read_text())) if there else {}


def main() -> None:
    """Make the files, time them, print a table of ratios and one of bars."""
    options = parse()
    absent = artifacts.missing_peers()
    for arm in absent:
        print(f"{artifacts.PEERS[arm]} is not installed: no arm {arm!r}", file=sys.stderr)
    arms = [arm for arm in options.arms or artifacts.ONNX_ARMS if arm not in absent]
    arms = list(dict.fromkeys(["foldbn", *arms]))
    found = begun(options)
    folders, failed = make_all(options, arms)
    if options.build:
        sys.exit(failed > 0)
    print(
        "| network | runtime | batch | foldbn |"
        f"{''.join(f' {over} / {under} |' for over, under in RATIOS)} BN nodes left | groups |"
    )
    print("|---" * (6 + len(RATIOS)) + "|", flush=True)
    for name, folder in folders.items():
        label = f"{name} {options.gammas}{_sized(options, ' ')}"
        for runtime in options.runtimes:
            for batch in options.batches:
                key = f"{label} {runtime} {batch}"
                if key not in found:
                    row = examine(folder, runtime, batch, arms, options)
                    found[key] = {"network": label, **row}
                    if options.output:
                        options.output.write_text(json.dumps(found, indent=1) + "\n")
                print(told(label, found[key]), flush=True)
    if options.provider == CPU:
        print_bars(found)
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
