"""Values of options that no run can mean: refused with their names, by command and function."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import foldbn
from foldbn.errors import BadSamples, UsageError
from tests.command import run_by
from tests.test_usage import call

HUGE = "99999999999999999999"
CONVERT, BENCH = ("convert", "model.h5"), ("bench", "model.onnx")
VERIFY, INSPECT = ("verify", "model.h5", "model.onnx"), ("inspect", "model.h5")
VALUES = [
    (command, option, value)
    for commands, option, values in (
        ((CONVERT, VERIFY, BENCH), "--seed", ("-1", HUGE)),
        ((CONVERT, VERIFY, BENCH, INSPECT), "--timeout", ("inf", "nan", "1e300", "-1")),
        ((CONVERT, VERIFY, BENCH, INSPECT), "--memory-limit", ("inf", "nan", "1e30", "-1")),
        ((CONVERT, BENCH), "--batch-size", (HUGE, "9" * 5000, "0")),
        ((CONVERT, BENCH), "--threads", (HUGE, "100000", "-1")),
        ((CONVERT, BENCH), "--min-speedup", ("nan", "inf", "-1")),
        ((CONVERT,), "--opset", (HUGE, "12")),
    )
    for command in commands
    for value in values
]


def told(value: Any) -> str:
    """Return a case's name."""
    return " ".join(value) if isinstance(value, tuple) else str(value)[:24]


@pytest.mark.parametrize(("command", "option", "value"), VALUES, ids=told)
def test_command(capfd, command, option, value):
    """A value beyond reason is a usage error that names its option; nothing is started."""
    code, out, err = call(capfd, *command, option, value)
    assert (code, out) == (2, "")
    assert f"'{option}'" in err
    assert "foldbn:" not in err


def test_min_speedup_without_a_benchmark(capfd):
    """What is no number is refused whether it is needed or not."""
    code, _, err = call(capfd, *CONVERT, "--no-bench", "--min-speedup", "nan")
    assert code == 2
    assert "nan" in err


def test_environment(capfd, monkeypatch):
    """Values from the environment are held to the same bounds."""
    monkeypatch.setenv("FOLDBN_INSPECT_TIMEOUT", "nan")
    code, _, err = call(capfd, *INSPECT)
    assert code == 2
    assert "nan" in err


ARGUMENTS = [
    (function, name, value)
    for functions, name, values in (
        (("convert", "verify", "bench"), "seed", (-1, 2**80, 1.5, "x", None)),
        (("convert", "bench"), "batch_size", (0, -1, 2**40, 2.5, "many")),
        (("convert", "bench"), "threads", (0, -1, 2**40, 1.5)),
        (("convert", "bench"), "min_speedup", (float("nan"), float("inf"), -1, "fast")),
        (("convert",), "opset", (12, 19, 2**80, 17.5)),
    )
    for function in functions
    for value in values
]


@pytest.mark.parametrize(("function", "name", "value"), ARGUMENTS, ids=told)
def test_function(tmp_path, function, name, value):
    """The functions refuse what the command refuses, before they load anything."""
    model = tmp_path / "missing.h5"
    files = {"convert": (model,), "verify": (model, [model]), "bench": ([model],)}[function]
    with pytest.raises(UsageError, match=name) as caught:
        getattr(foldbn, function)(*files, **{name: value})
    assert caught.value.exit_code == 2


def test_whole_numbers_of_other_types(networks):
    """What stands for a whole number is one, like those of NumPy."""
    import numpy as np

    model = networks / "bn_axis_1.h5"
    options = {"seed": np.int64(3), "opset": np.int16(17), "min_speedup": np.float32(0)}
    with pytest.raises(UsageError, match="needs a benchmark"):
        foldbn.convert(model, **options, bench=False, dry_run=True)
    del options["min_speedup"]
    assert foldbn.convert(model, **options, dry_run=True).dry_run


@contextmanager
def fifo(path: Path) -> Iterator[Path]:
    """Give a FIFO that nobody writes to or reads; whoever opens it is let go after a while."""
    os.mkfifo(path)
    rescue = threading.Timer(5, lambda: os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK)))
    rescue.start()
    try:
        yield path
    finally:
        rescue.cancel()


def test_log_that_is_a_pipe(capfd, networks, tmp_path):
    """Opening a FIFO would wait for a reader; a folder is no log either."""
    with fifo(tmp_path / "log") as log:
        for path in (log, tmp_path, Path("/dev/zero")):
            arguments = ("inspect", networks / "bn_axis_1.h5", "--log-file", path)
            code, out, err = call(capfd, *arguments)
            assert (code, out) == (2, "")
            assert str(path) in err
            assert "no regular file" in err


@pytest.mark.parametrize("content", ["", "before\n"])
def test_log_that_standard_error_goes_to(networks, tmp_path, content):
    """A file that is no log is not added to either, because standard error goes there as well."""
    kept = tmp_path / "kept"
    kept.write_text(content)
    command = ["bash", "-c", f'"$0" "$@" 2>>{kept}']
    finished = run_by(command, "inspect", networks / "bn_axis_1.h5", "--log-file", kept)
    assert finished.returncode == 2
    assert f"'{kept}' exists and is no log" in kept.read_text()
    assert "worker printed" not in kept.read_text()


@pytest.mark.parametrize("shell", ["", "2>FILE", "2>&1 | cat"])
@pytest.mark.parametrize("log", ["/dev/null", "/dev/stderr"])
def test_log_that_is_not_kept(networks, tmp_path, log, shell):
    """The log may go nowhere, or to standard error, be it a pipe or a file with content."""
    kept = tmp_path / "kept"
    kept.write_text("before\n")
    shell = shell.replace("2>FILE", f"2>>{kept}")
    command = ["bash", "-c", f'set -o pipefail; "$0" "$@" {shell}']
    finished = run_by(command, "inspect", networks / "bn_axis_1.h5", "--log-file", log)
    assert finished.returncode == 0, finished.stderr
    text = finished.stdout + finished.stderr + kept.read_text()
    assert ("worker printed" in text) == (log == "/dev/stderr")
    assert kept.read_text().startswith("before")


def test_samples_that_are_a_pipe(tmp_path):
    """Samples come from a regular file: reading another might never end."""
    from foldbn.verification import load_samples

    with fifo(tmp_path / "samples.npy") as path:
        for each in (path, Path("/dev/zero")):
            with pytest.raises(BadSamples, match="no regular file"):
                load_samples(each, ())


def test_definitions_that_are_a_pipe(networks, tmp_path):
    """So do definitions of layers."""
    with fifo(tmp_path / "own.py") as path:
        for each in (path, Path("/dev/null")):
            with pytest.raises(UsageError, match="no regular file"):
                foldbn.inspect(networks / "bn_axis_1.h5", custom_objects=each)
