"""One damaged model through foldbn, in a process forked from one that has imported everything."""

from __future__ import annotations

import hashlib
import json
import os
import random
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

import fuzz_damage

MEMORY = 3 * 10**9
DOCUMENTED = (0, 1, 3, 4)


def make_models(folder: Path) -> None:
    """Write one small network in every format."""
    import keras
    import numpy as np

    import foldbn

    keras.utils.set_random_seed(1)
    layers = keras.layers
    inputs = keras.Input((8, 8, 2), name="image")
    x = layers.Conv2D(4, 3, padding="same", use_bias=False, name="conv")(inputs)
    x = layers.ReLU()(layers.BatchNormalization(name="bn")(x))
    side = layers.DepthwiseConv2D(3, padding="same")(x)
    x = layers.Flatten()(layers.MaxPooling2D()(layers.Add()([x, side])))
    x = layers.BatchNormalization(name="second")(layers.Dense(5, name="hidden")(x))
    model = keras.Model(inputs, layers.Dense(3, activation="softmax", name="classes")(x))
    rng = np.random.default_rng(2)
    for name, size in (("bn", 4), ("second", 5)):
        draws = (rng.normal(size=size) for _ in range(3))
        model.get_layer(name).set_weights([*draws, rng.uniform(0.5, 2, size)])
    model.save(folder / "model.h5")
    model.save(folder / "model.keras")
    model.export(folder / "model.savedmodel", verbose=False)
    foldbn.convert(folder / "model.keras", bench=False)


def job_of(case: Path, models: Path, kind: str, index: int) -> tuple[str, dict[str, Any]]:
    """Return what is done with a damaged model: a command and its arguments."""
    damaged = str(case / f"model.{kind}")
    if kind in ("onnx", "tflite"):
        if index % 2:
            return "bench", {"models": [damaged], "providers": ["cpu"]}
        return "verify", {"original": str(models / "model.h5"), "exported": [damaged]}
    if index % 4 == 3:
        return "verify", {"original": damaged, "exported": [str(models / "model.onnx")]}
    return "inspect", {"model": damaged}


def prepare(case: Path, models: Path, kind: str, seed: int, index: int) -> str:
    """Write the damaged model of a case; return how it was damaged."""
    rng = random.Random(f"{seed}/{kind}/{index}")  # noqa: S311 - not for secrets
    source, target = models / f"model.{kind}", case / f"model.{kind}"
    if source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy(source, target)
    try:
        return fuzz_damage.damage(target, kind, rng)
    except Exception as error:  # noqa: BLE001 - what a library refuses to write is no case
        if target.is_file():
            fuzz_damage.damage_bytes(target, rng)
        return f"bytes, for {type(error).__name__}"


def digest(folder: Path) -> str:
    """Return a hash over all names and contents below a folder."""
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        total.update(f"{path.relative_to(folder)}\0{path.is_dir()}".encode(errors="replace"))
        if path.is_file():
            total.update(path.read_bytes())
    return total.hexdigest()


def attempt(command: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Do what a worker and the command around it do; return exit code and words."""
    import io

    from rich.console import Console

    from foldbn import pipeline, report
    from foldbn.errors import FoldbnError
    from foldbn.worker import __main__ as worker

    trace = ""
    try:
        result = getattr(pipeline, command)(**arguments)
        code = 0 if getattr(result, "passed", True) else 1
        text = report.document(result)
        screen = io.StringIO()
        report.render(result, Console(file=screen, width=200), verbose=True)
        shown = screen.getvalue()
    except Exception as error:  # noqa: BLE001 - the worker catches the same
        failure = worker._as_failure(error, MEMORY)  # noqa: SLF001
        told = FoldbnError.of(failure.id, failure.exit_code, failure.message, failure.hint)
        code, text = told.exit_code, report.error_document(told)
        shown = report.printable(f"{told.message} {told.hint}")
        trace = failure.trace if code == 70 else ""
    json.loads(text, parse_constant=lambda name: sys.exit(f"{name} is no JSON"))
    bad = [c for c in shown + text if not c.isprintable() and c != "\n"]
    return {"code": code, "text": text, "trace": trace, "unprintable": repr(bad[:5]) if bad else ""}


def child(case: Path, models: Path, request: dict[str, Any], answer: int) -> None:
    """Prepare and run one case in this process, which was forked for it."""
    from foldbn.benchmark import plan
    from foldbn.worker.limits import limit_memory

    os.setsid()
    log = os.open(case / "log", os.O_CREAT | os.O_WRONLY)
    os.dup2(log, 1)
    os.dup2(log, 2)
    for name in ("place", "place/cwd", "tmp"):
        (case / name).mkdir()
    tempfile.tempdir = os.environ["TMPDIR"] = str(case / "tmp")
    os.chdir(case / "place" / "cwd")
    plan.ROW_S = 0.03  # the timing itself is not what is tried
    kind, index = request["kind"], request["index"]
    how = prepare(case / "place", models, kind, request["seed"], index)
    limit_memory(MEMORY)
    before = digest(case / "place")
    os.write(answer, json.dumps({"how": how, "before": before}).encode() + b"\n")
    start = time.monotonic()
    found = attempt(*job_of(case / "place", models, kind, index))
    found["seconds"] = time.monotonic() - start
    os.write(answer, json.dumps(found).encode() + b"\n")


def serve(models: Path, patience: float) -> None:
    """Answer requests on standard input, each by a process forked for it."""
    import ai_edge_litert.interpreter
    import h5py
    import keras
    import onnxruntime
    import tensorflow as tf

    from foldbn import pipeline, report
    from foldbn.frontends import loading

    del ai_edge_litert, h5py, keras, onnxruntime, tf, pipeline, report, loading
    out = os.fdopen(os.dup(1), "w")
    print("ready", file=out, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(serve_one(models, request, patience)), file=out, flush=True)


def serve_one(models: Path, request: dict[str, Any], patience: float) -> dict[str, Any]:
    """Fork a process for a case, wait for it, and say what became of it."""
    case = Path(tempfile.mkdtemp(prefix=f"fuzz-{request['kind']}-{request['index']}-"))
    reader, writer = os.pipe()
    start = time.monotonic()
    process = os.fork()
    if process == 0:
        try:
            os.close(reader)
            child(case, models, request, writer)
        except BaseException:  # noqa: BLE001 - nothing may go on behind the fork
            traceback.print_exc()
            os._exit(99)
        os._exit(0)
    os.close(writer)
    answers, late = read_until(reader, start + patience)
    if late:
        os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    outcome = judge(answers, os.waitstatus_to_exitcode(status), late=late)
    outcome["seconds"] = outcome.get("seconds", time.monotonic() - start)
    if (case / "place").exists() and outcome.get("before") != digest(case / "place"):
        outcome["failure"] = "a file was changed or left"
    outcome["log"] = (case / "log").read_text(errors="replace")[-3000:]
    if request.get("keep"):
        outcome["folder"] = str(case)
    else:
        shutil.rmtree(case, ignore_errors=True)
    return outcome


def read_until(descriptor: int, deadline: float) -> tuple[list[dict[str, Any]], bool]:
    """Read JSON lines up to the end or the deadline; say whether it was the deadline."""
    content = b""
    with os.fdopen(descriptor, "rb", buffering=0) as pipe:
        while (left := deadline - time.monotonic()) > 0:
            if select.select([pipe], [], [], left)[0]:
                chunk = pipe.read(65536)
                if not chunk:
                    return [json.loads(line) for line in content.splitlines()], False
                content += chunk
    return [json.loads(line) for line in content.splitlines() if line.endswith(b"}")], True


def judge(answers: list[dict[str, Any]], code: int, *, late: bool) -> dict[str, Any]:
    """Say what a case came to: its exit code, and in which way it failed if it did."""
    outcome: dict[str, Any] = {"code": 4, "failure": ""}
    for answer in answers:
        outcome.update(answer)
    if late:
        outcome["failure"] = "no end"
    elif code < 0:
        outcome["died"] = signal.Signals(-code).name
    elif code > 0 or len(answers) < 2:
        outcome["failure"] = f"the process ended with {code}"
    elif outcome["code"] not in DOCUMENTED:
        outcome["failure"] = f"exit code {outcome['code']}"
    elif outcome["unprintable"]:
        outcome["failure"] = f"unprintable {outcome['unprintable']}"
    return outcome
