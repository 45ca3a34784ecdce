"""The four commands. Each hands its options to the public function of its name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from foldbn.bounds import MOST_SAMPLES, OPSETS
from foldbn.cli.options import (
    MODEL,
    BatchSize,
    model_options,
    sample_options,
    seed_option,
    shell_options,
    timing_options,
)
from foldbn.cli.shell import Shell
from foldbn.errors import UsageError


def _run(command: str, options: dict[str, Any]) -> Any:
    """Split the options of the shell from those of the function, and run it."""
    shell = Shell(
        json=options.pop("json"),
        quiet=options.pop("quiet"),
        verbose=options.pop("verbose"),
        log_file=options.pop("log_file"),
        memory_limit=options.pop("memory_limit"),
        timeout=options.pop("timeout"),
    )
    options.pop("debug")
    if "provider" in options:
        options["providers"] = options.pop("provider")
    return shell.run(command, {name: _plain(value) for name, value in options.items()})


def _plain(value: Any) -> Any:
    """Return an option's value as JSON can carry it."""
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if not isinstance(value, Path):
        return value
    try:
        return str(value).encode().decode()
    except UnicodeEncodeError as error:
        raise UsageError(f"the path {str(value)!r} is not valid UTF-8") from error


@click.command()
@click.argument("model", type=MODEL)
@click.option(
    "-o",
    "--output-dir",
    type=MODEL,
    metavar="DIR",
    help="Where the artefacts go; made if missing.  [default: beside the model]",
)
@click.option(
    "--to",
    multiple=True,
    type=click.Choice(["onnx", "tflite", "savedmodel"]),
    default=("onnx", "tflite"),
    show_default=True,
    help="Format to write; repeatable. A SavedModel is verified and not timed.",
)
@click.option("--overwrite", is_flag=True, help="Replace existing artefacts, never the model.")
@click.option(
    "--batch-size",
    type=BatchSize(),
    help="Batch axis of the artefacts.  [default: 1 for TFLite, otherwise dynamic]",
)
@click.option(
    "--opset", type=click.IntRange(*OPSETS), default=18, show_default=True, help="ONNX opset."
)
@model_options
@sample_options
@click.option(
    "--bench/--no-bench",
    default=True,
    show_default=True,
    help="Time the original's export against the folded one's.",
)
@timing_options
@click.option(
    "--require-fold",
    is_flag=True,
    help="Exit 5 if an affine layer could be neither folded, merged nor lowered.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be done; write nothing.")
@shell_options("the paths of the files that were written")
def convert(**options: Any) -> None:
    """Fold MODEL, prove it, and write it as ONNX and TFLite beside the model.

    For m.h5 these are m.onnx and m.tflite, and m.savedmodel where asked for, a directory with
    the original's signatures.

    MODEL is an .h5 or .keras file or a SavedModel directory, recognised by content, or a frozen
    graph (.pb) whose --inputs and --outputs you name.
    """
    _run("convert", options)


@click.command()
@click.argument("model", type=MODEL)
@model_options
@click.option(
    "--require-fold",
    is_flag=True,
    help="Exit 5 if an affine layer could be neither folded, merged nor lowered.",
)
@shell_options()
def inspect(**options: Any) -> None:
    """Say what would be folded in MODEL and why not; write nothing."""
    _run("inspect", options)


@click.command()
@click.argument("original", type=MODEL)
@click.argument("exported", type=MODEL, nargs=-1, required=True)
@model_options
@sample_options
@shell_options("the paths of the files that were run, passed or not")
def verify(**options: Any) -> int:
    """Say whether each EXPORTED file still computes the ORIGINAL model; exit 1 if not.

    EXPORTED are .onnx and .tflite files and SavedModel directories that any tool may have
    written.
    """
    found = _run("verify", options)
    # A file that cannot be read or run says more of what to do than one that differs.
    broken = (each.error.exit_code for each in found.artifacts if each.error)
    return 0 if found.passed else max(broken, default=1)


@click.command()
@click.argument("models", type=MODEL, nargs=-1, required=True, metavar="MODEL...")
@click.option(
    "--batch-size",
    type=click.IntRange(1, MOST_SAMPLES),
    help="Samples per call.  [default: the models' own, or 1]",
)
@seed_option
@timing_options
@shell_options()
def bench(**options: Any) -> None:
    """Time .onnx and .tflite files side by side; the first is the reference."""
    _run("bench", options)
