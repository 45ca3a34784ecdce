"""Options that several commands share, as groups."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from foldbn.bounds import (
    MOST_GIGABYTES,
    MOST_SAMPLES,
    MOST_SECONDS,
    MOST_SEED,
    MOST_THREADS,
)

F = TypeVar("F", bound=Callable[..., Any])
Option = Callable[[Any], Any]


class _Name(click.Path):
    """A path; the empty one, which Python takes for the current folder, is none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("the path is empty", param, ctx)
        return super().convert(value, param, ctx)


MODEL = _Name(path_type=Path)


def _together(*options: Option) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        decorated: Any = function
        for option in reversed(options):
            decorated = option(decorated)
        return decorated  # type: ignore[no-any-return]

    return decorate


class Names(click.ParamType[tuple[str, ...]]):
    """Names with commas between them."""

    name = "NAME,..."

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Return the names; fail where one is empty or there twice."""
        if isinstance(value, tuple):
            return value
        names = tuple(name.strip() for name in str(value).split(","))
        if not all(names) or len(set(names)) < len(names):
            self.fail(f"{value!r} holds an empty name, or one twice", param, ctx)
        return names


class Finite(click.FloatRange):
    """A number in a range; NaN, which is in all of them, is none."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number; fail for what is none."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is no number", param, ctx)
        return number


def shell_options(left: str = "") -> Callable[[F], F]:
    """Return the options of every command.

    Args:
        left: what ``--quiet`` leaves of its output, which is nothing otherwise.
    """
    only = f": only {left}" if left else ""
    return _together(
        click.option("--json", is_flag=True, help="One JSON document on stdout."),
        click.option(
            "-q",
            "--quiet",
            is_flag=True,
            help=f"No progress, no report{only}.",
        ),
        click.option("-v", "--verbose", is_flag=True, help="Every figure there is."),
        click.option("--debug", is_flag=True, help="Tracebacks of errors."),
        click.option(
            "--log-file", type=MODEL, metavar="FILE", help="Keep all that TensorFlow prints."
        ),
        click.option(
            "--timeout",
            type=Finite(min=0, max=MOST_SECONDS),
            default=3600,
            show_default=True,
            metavar="SECONDS",
            help="End the work after so long; 0 is never.",
        ),
        click.option(
            "--memory-limit",
            type=Finite(min=0, max=MOST_GIGABYTES),
            metavar="GB",
            help="Memory that the work may take for its data, without the code of the libraries,"
            " about 0.5 GB more; 0 is as much as there is.  [default: 4, 64 for each GB of the"
            " model, and no more than 90 % of the machine's]",
        ),
    )


model_options = _together(
    click.option(
        "--signature",
        metavar="NAME",
        help="Signature of a SavedModel.  [default: serving_default, or the only one]",
    ),
    click.option(
        "--custom-objects",
        type=MODEL,
        metavar="FILE.py",
        help="A Python file that defines the model's own layers, and functions that stand in for"
        " Lambda layers by their names ('lambda_' for 'lambda'). It is run.",
    ),
    click.option(
        "--unsafe",
        is_flag=True,
        help="Run the Python code that Lambda layers hold. For Keras files that you trust.",
    ),
    click.option(
        "--inputs",
        type=Names(),
        default=(),
        metavar="NAME,...",
        help="Tensors that a frozen graph (.pb) is fed, like x or x:0.",
    ),
    click.option(
        "--outputs",
        type=Names(),
        default=(),
        metavar="NAME,...",
        help="Tensors of a frozen graph that are wanted.",
    ),
)

seed_option = click.option(
    "--seed",
    type=click.IntRange(0, MOST_SEED),
    default=0,
    show_default=True,
    help="Seed of the generated inputs.",
)

sample_options = _together(
    click.option(
        "--samples",
        type=MODEL,
        metavar="FILE",
        help="Inputs to verify on, besides generated ones: .npy, or .npz keyed by input name.",
    ),
    seed_option,
)

timing_options = _together(
    click.option(
        "--provider",
        multiple=True,
        metavar="NAME",
        help="onnxruntime provider to time on: cpu, cuda, tensorrt, openvino, ... or its full"
        " name; repeatable.  [default: cpu, and cuda where it is there]",
    ),
    click.option(
        "--threads",
        type=click.IntRange(1, MOST_THREADS),
        default=1,
        show_default=True,
        help="Intra-op threads while timing.",
    ),
    click.option(
        "--min-speedup",
        type=Finite(min=0),
        metavar="X",
        help="Exit 1 if a speedup is below X with its whole interval.",
    ),
)


class BatchSize(click.ParamType[int | str]):
    """A whole number, or ``dynamic``."""

    name = "N|dynamic"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | str:
        """Return the number, or ``dynamic``; fail for anything else."""
        if value == "dynamic" or isinstance(value, int):
            return value  # type: ignore[no-any-return]
        text = str(value)
        digits = text.isdecimal() and len(text) <= len(str(MOST_SAMPLES))
        if not digits or not 1 <= int(text) <= MOST_SAMPLES:
            self.fail(
                f"{text[:60]!r} is neither a whole number from 1 to {MOST_SAMPLES} nor 'dynamic'",
                param,
                ctx,
            )
        return int(text)
