"""Give foldbn damaged models and see that each ends in a documented exit code, and nothing else.

    python scripts/fuzz.py [--cases 2000] [--seed 0] [--formats h5,onnx] [--sample 40]
    python scripts/fuzz.py --only onnx:17     one case again; its folder is kept and told

Each case runs `inspect`, `verify` or `bench` in a process of its own, forked from one that has
imported TensorFlow already and limited like a worker. A case fails if its exit code is not
documented, if it says that foldbn has a bug, takes longer than `--patience`, says something
unprintable, or changes or leaves a file. A process that crashes counts as exit 4, for that is
what the command makes of it: a sample of the cases, crashes first, runs through the real command
to see that it does; what a damaged .tflite makes of LiteRT may differ from process to process, but
ends in a documented code. Prints a Markdown table; exits with 1 if a case failed.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fuzz_cases import DOCUMENTED, digest, job_of, make_models, prepare, serve

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

FORMATS = ("h5", "keras", "savedmodel", "onnx", "tflite")
# LiteRT reads beside its tensors where a file says so: what is there differs between processes.
UNDEFINED = ("tflite",)


class Server:
    """A process that has imported everything, and answers one request at a time."""

    def __init__(self, models: Path, patience: float) -> None:
        command = [sys.executable, __file__, "--serve", str(models), "--patience", str(patience)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.read()

    def read(self) -> str:
        """Return the next line."""
        if self.process.stdout is None or not (line := self.process.stdout.readline()):
            raise RuntimeError("the server has ended")
        return line

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Run a case."""
        if self.process.stdin is None:
            raise RuntimeError("the server does not listen")
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return dict(json.loads(self.read()))


Results = list[tuple[dict[str, Any], dict[str, Any]]]


def run_all(models: Path, requests: list[dict[str, Any]], options: Any) -> Results:
    """Run all cases on as many servers as there are processors."""
    waiting: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    for request in requests:
        waiting.put(request)
    results: Results = []

    def work() -> None:
        server = Server(models, options.patience)
        while True:
            try:
                request = waiting.get_nowait()
            except queue.Empty:
                break
            results.append((request, server.ask(request)))
            if len(results) % 100 == 0:
                print(f"{len(results)} of {len(requests)}", file=sys.stderr, flush=True)
        server.process.communicate()

    threads = [threading.Thread(target=work) for _ in range(options.jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(results, key=lambda pair: (FORMATS.index(pair[0]["kind"]), pair[0]["index"]))


def through_the_command(models: Path, request: dict[str, Any], code: int) -> str:
    """Run a case through the real command; return what is wrong with how it ends."""
    with tempfile.TemporaryDirectory() as folder:
        case, temporary = Path(folder) / "place", Path(folder) / "tmp"
        case.mkdir()
        temporary.mkdir()
        prepare(case, models, request["kind"], request["seed"], request["index"])
        command, arguments = job_of(case, models, request["kind"], request["index"])
        before = digest(case)
        words = [word for value in arguments.values() for word in _words(value) if word != "cpu"]
        finished = subprocess.run(
            [sys.executable, "-m", "foldbn", command, *words, "--json", "--timeout", "120"],
            capture_output=True, text=True, check=False, cwd=case,
            env={**os.environ, "TMPDIR": str(temporary)},
        )  # fmt: skip
        expected = DOCUMENTED if request["kind"] in UNDEFINED else (code,)
        if finished.returncode not in expected:
            return f"exit {finished.returncode}, alone {code}: {finished.stdout[-300:]}"
        if "Traceback" in finished.stderr:
            return finished.stderr[-300:]
        json.loads(finished.stdout)
        return "" if before == digest(case) and not any(temporary.iterdir()) else "left a file"


def _words(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]


def sample_of(results: Results, size: int) -> Results:
    """Return cases for the real command: half of them crashes if there are so many."""
    crashed = [pair for pair in results if pair[1].get("died")][: size // 2]
    others = [pair for pair in results if not pair[1].get("died") and not pair[1]["failure"]]
    step = max(len(others) // max(size - len(crashed), 1), 1)
    return crashed + others[::step][: size - len(crashed)]


def report_on(results: Results) -> Iterator[str]:
    """Yield the lines of a Markdown table, and one for each failure."""
    yield "| format | cases | exit codes | crashes | worst s | failures |"
    yield "|---|---|---|---|---|---|"
    for kind in FORMATS:
        own = [outcome for request, outcome in results if request["kind"] == kind]
        if own:
            codes = Counter(outcome["code"] for outcome in own)
            told = ", ".join(f"{code}: {codes[code]}" for code in sorted(codes))
            died = Counter(outcome["died"] for outcome in own if outcome.get("died"))
            crashes = ", ".join(f"{name}: {count}" for name, count in died.items()) or "none"
            worst = max(outcome["seconds"] for outcome in own)
            failures = sum(bool(outcome["failure"]) for outcome in own)
            yield f"| {kind} | {len(own)} | {told} | {crashes} | {worst:.1f} | {failures} |"
    yield ""
    crashed = [f"{r['kind']}:{r['index']}" for r, outcome in results if outcome.get("died")]
    yield f"crashes: {', '.join(crashed) or 'none'}"
    for request, outcome in results:
        if outcome["failure"]:
            cause = (outcome.get("trace") or outcome.get("log") or "").strip().splitlines()[-1:]
            yield (
                f"--only {request['kind']}:{request['index']} --seed {request['seed']}:"
                f" {outcome['failure']}: {''.join(cause)[:200]}"
            )


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=2000, help="in all formats together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--formats", default=",".join(FORMATS))
    parser.add_argument("--sample", type=int, default=40, help="cases for the real command")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--patience", type=float, default=60, help="seconds for a case")
    parser.add_argument("--only", help="one case: FORMAT:INDEX")
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    """Make the models, damage them, and tell what became of each."""
    options = arguments()
    if options.make:
        make_models(options.make)
        return 0
    if options.serve:
        serve(options.serve, options.patience)
        return 0
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fuzz-models-") as folder:
        models = Path(folder)
        subprocess.run(
            [sys.executable, __file__, "--make", folder],
            check=True,
            env={**os.environ, "PYTHONHASHSEED": "0"},
        )
        if options.only:
            kind, _, index = options.only.partition(":")
            request = {"kind": kind, "index": int(index), "seed": options.seed, "keep": True}
            print(json.dumps(Server(models, options.patience).ask(request), indent=2))
            return 0
        kinds = options.formats.split(",")
        requests = [
            {"kind": kinds[i % len(kinds)], "index": i // len(kinds), "seed": options.seed}
            for i in range(options.cases)
        ]
        results = run_all(models, requests, options)
        print("\n".join(report_on(results)))
        alone = sample_of(results, options.sample)
        wrong = []
        for request, outcome in alone:
            if said := through_the_command(models, request, outcome["code"]):
                wrong.append(f"{request['kind']}:{request['index']}: {said}")
    crashes = sum(bool(outcome.get("died")) for _, outcome in alone)
    print(f"{len(alone)} cases through the real command, {crashes} of them crashes:", end=" ")
    print(f"{len(wrong)} ended differently", *wrong, sep="\n")
    print(f"{len(results)} cases in {time.monotonic() - start:.0f} s")
    return 1 if wrong or any(outcome["failure"] for _, outcome in results) else 0


if __name__ == "__main__":
    sys.exit(main())
