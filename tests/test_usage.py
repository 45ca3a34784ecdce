"""The command line: mistakes in it, help, and a reader that goes away."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import Any

import pytest

import foldbn
from foldbn.cli import main
from tests.command import COMMAND, PATIENCE, parsed


def call(capfd, *arguments: Any) -> tuple[int, str, str]:
    """Call the command in this process; return exit code, stdout and stderr."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as caught:
            main([str(argument) for argument in arguments])
    finally:
        signal.signal(signal.SIGTERM, before)
    out, err = capfd.readouterr()
    return caught.value.code or 0, out, err


USAGE_ERRORS = {
    "unknown command": ["fold", "model.h5"],
    "unknown option": ["convert", "model.h5", "--fast"],
    "no model": ["convert"],
    "no exported file": ["verify", "model.h5"],
    "no file to time": ["bench"],
    "batch size 0": ["convert", "model.h5", "--batch-size", "0"],
    "batch size many": ["convert", "model.h5", "--batch-size", "many"],
    "opset 99": ["convert", "model.h5", "--opset", "99"],
    "unknown format": ["convert", "model.h5", "--to", "pdf"],
    "no threads": ["bench", "model.onnx", "--threads", "0"],
    "seed": ["verify", "model.h5", "model.onnx", "--seed", "x"],
    "empty model": ["convert", ""],
    "empty folder": ["convert", "model.h5", "-o", ""],
    "empty file": ["verify", "model.h5", ""],
}


@pytest.mark.parametrize("arguments", USAGE_ERRORS.values(), ids=USAGE_ERRORS)
def test_usage_error(capfd, arguments):
    """A call that makes no sense is exit 2, told on stderr."""
    code, out, err = call(capfd, *arguments)
    assert code == 2
    assert out == ""
    assert err
    assert "Traceback" not in err


@pytest.mark.parametrize("arguments", USAGE_ERRORS.values(), ids=USAGE_ERRORS)
def test_usage_error_document(capfd, arguments):
    """Under ``--json`` a usage error is a document too, and alone on stdout."""
    code, out, err = call(capfd, *arguments, "--json")
    assert code == 2
    assert err == ""
    document = parsed(out)
    assert document["schema"] == "foldbn.error/1"
    assert document["error"]["exit_code"] == 2
    assert document["error"]["id"].startswith("FBN")
    assert document["error"]["message"]


LONG = "x" * 300
UNREADABLE = {
    "convert": ["convert", LONG],
    "inspect": ["inspect", LONG],
    "verify an original": ["verify", LONG, __file__],
    "verify a file": ["verify", __file__, LONG],
    "bench": ["bench", LONG],
}


@pytest.mark.parametrize("arguments", UNREADABLE.values(), ids=UNREADABLE)
def test_a_name_that_no_file_can_have(capfd, monkeypatch, tmp_path, arguments):
    """A path that is too long for the filesystem is no model, and no trouble of the output."""
    monkeypatch.chdir(tmp_path)
    code, out, err = call(capfd, *arguments, "-q")
    assert (code, out) == (3, "")
    assert LONG in err
    assert "standard output" not in err


def test_log_that_cannot_be_written(capfd, networks, tmp_path):
    """A log file in a folder that is not there is a usage error."""
    log = tmp_path / "nowhere" / "log"
    code, out, err = call(capfd, "inspect", networks / "bn_axis_1.h5", "--log-file", log)
    assert (code, out) == (2, "")
    assert str(log) in err


def test_version(capfd):
    """``--version`` prints name and version."""
    assert call(capfd, "--version") == (0, f"foldbn {foldbn.__version__}\n", "")


OPTIONS = {
    "convert": """--output-dir --to --overwrite --batch-size --opset --signature --samples --seed
        --bench --no-bench --provider --threads --require-fold --min-speedup --custom-objects
        --unsafe --json --dry-run --quiet --verbose --debug --log-file -o -q -v""",
    "inspect": """--signature --require-fold --custom-objects --unsafe --json --quiet --debug
        --log-file""",
    "verify": """--signature --samples --seed --custom-objects --unsafe --json --quiet --debug
        --log-file""",
    "bench": "--seed --provider --threads --min-speedup --json --quiet --debug --log-file",
}


@pytest.mark.parametrize("command", OPTIONS)
def test_help(capfd, command):
    """The help of each command names every option of the contract."""
    code, out, err = call(capfd, command, "--help")
    assert (code, err) == (0, "")
    words = out.replace(",", " ").replace("/", " ").split()
    assert not {*OPTIONS[command].split(), "--timeout", "--memory-limit"} - set(words)


QUIET = {
    "convert": "only the paths of the files that were written.",
    "inspect": "No progress, no report.",
    "verify": "only the paths of the files that were run, passed or not",
    "bench": "No progress, no report.",
}


@pytest.mark.parametrize("command", QUIET)
def test_help_of_quiet(capfd, command):
    """The help says what ``-q`` leaves: nothing of `inspect` and `bench`, which name no files."""
    _, out, _ = call(capfd, command, "--help")
    words = " ".join(out.partition("--quiet")[2].partition("--verbose")[0].split())
    assert QUIET[command] in words
    assert ("only" in words) == ("only" in QUIET[command])


def test_help_of_memory_limit(capfd):
    """The code of the libraries, half a gigabyte, does not count, and the help says so."""
    _, out, _ = call(capfd, "inspect", "--help")
    told = " ".join(out.partition("--memory-limit")[2].split())
    assert "without the code of the libraries" in told


def test_help_of_the_group(capfd):
    """The help names all commands and the exit codes."""
    code, out, _ = call(capfd, "--help")
    assert code == 0
    assert all(command in out for command in OPTIONS)
    assert "Exit codes" in out


LISTING = """
import sys
from foldbn.cli import main
from tests.command import COMMAND, PATIENCE, parsed, run
try:
    main({arguments!r})
finally:
    sys.stderr.write(" ".join(sys.modules))
"""


@pytest.mark.parametrize("arguments", [["--help"], ["convert", "--help"], ["convert", "--fast"]])
def test_no_framework(arguments):
    """The command itself imports no framework, not even NumPy."""
    code = [sys.executable, "-c", LISTING.format(arguments=arguments)]
    finished = subprocess.run(code, capture_output=True, text=True, check=False)
    modules = set(finished.stderr.split())
    assert "foldbn.cli.program" in modules
    assert not modules & {"tensorflow", "keras", "onnx", "onnxruntime", "tf2onnx", "numpy", "h5py"}


@pytest.mark.parametrize(
    "arguments", [["--help"], ["inspect", "MODEL"], ["inspect", "MODEL", "--json"]]
)
def test_closed_stdout(networks, arguments):
    """A reader that has gone, like ``head``, is no reason for a traceback."""
    given = [str(networks / "cnn_bn_after.h5") if a == "MODEL" else a for a in arguments]
    reader, writer = os.pipe()
    os.close(reader)
    try:
        finished = subprocess.run(
            [*COMMAND, *given],
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
    finally:
        os.close(writer)
    assert "Traceback" not in finished.stderr
    assert "Exception ignored" not in finished.stderr
    assert "error" not in finished.stderr.lower()
