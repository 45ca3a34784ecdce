"""Options that several commands share, as groups."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
Option = Callable[[Any], Any]

MODEL = click.Path(path_type=Path)


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


shell_options = _together(
    click.option("--json", is_flag=True, help="One JSON document on stdout."),
    click.option("-q", "--quiet", is_flag=True, help="No progress; only what was written."),
    click.option("-v", "--verbose", is_flag=True, help="Every figure there is."),
    click.option("--debug", is_flag=True, help="Tracebacks of errors."),
    click.option("--log-file", type=MODEL, metavar="FILE", help="Keep all that TensorFlow prints."),
    click.option(
        "--timeout",
        type=click.FloatRange(min=0),
        default=3600,
        show_default=True,
        metavar="SECONDS",
        help="End the work after so long; 0 is never.",
    ),
    click.option(
        "--memory-limit",
        type=click.FloatRange(min=0),
        metavar="GB",
        help="Memory that the work may take; 0 is as much as there is.  [default: 4, 64 for each"
        " GB of the model, and no more than 90 % of the machine's]",
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

sample_options = _together(
    click.option(
        "--samples",
        type=MODEL,
        metavar="FILE",
        help="Inputs to verify on, besides generated ones: .npy, or .npz keyed by input name.",
    ),
    click.option(
        "--seed", type=int, default=0, show_default=True, help="Seed of the generated inputs."
    ),
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
        type=click.IntRange(min=1),
        default=1,
        show_default=True,
        help="Intra-op threads while timing.",
    ),
    click.option(
        "--min-speedup",
        type=float,
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
        if not str(value).isdecimal() or int(value) < 1:
            self.fail(f"{value!r} is neither a whole number from 1 on nor 'dynamic'", param, ctx)
        return int(value)
