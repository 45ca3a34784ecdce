"""A model loaded and ready to be called again and again, in whichever runtime it is for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from foldbn.benchmark.inputs import leave_lengths_open, told
from foldbn.benchmark.litert_session import LiteRtRunner
from foldbn.benchmark.onnx_session import OnnxRunner
from foldbn.benchmark.providers import CPU
from foldbn.bounds import UNKNOWN_LENGTH
from foldbn.errors import FoldbnError, RuntimeFailed, said

if TYPE_CHECKING:
    from pathlib import Path

    from foldbn.benchmark.formats import Format
    from foldbn.benchmark.inputs import InputSpec, Lengths


class Runner(Protocol):
    """A loaded model with its inputs.

    Attributes:
        provider: what it really runs on.
        batch_size: samples per call.
        inputs: as the model declares them.
        filled: the same with every axis known.
    """

    provider: str
    batch_size: int
    inputs: tuple[InputSpec, ...]
    filled: tuple[InputSpec, ...]

    def prepare(self) -> None:
        """Make ready for inputs of these sizes."""

    def run_once(self) -> None:
        """Compute every output once, and wait for it."""

    def close(self) -> None:
        """Free the model."""


def open_runner(  # noqa: PLR0913 - the coordinates of a measurement
    path: Path,
    kind: Format,
    *,
    provider: str | None,
    threads: int,
    batch_size: int | None,
    seed: int,
    copies: bool = False,
    lengths: Lengths | None = None,
) -> Runner:
    """Load `path`, make up its inputs and call it once.

    The first call is made here because runtimes plan memory in it, and because a model that
    loads may still not run.

    Args:
        path: of the model.
        kind: its format.
        provider: onnxruntime's full name; None is the CPU. TFLite always runs in LiteRT.
        threads: intra-op threads.
        batch_size: samples per call; None is the model's own.
        seed: of the inputs.
        copies: inputs and outputs are copied to the provider's memory and back in each call.
        lengths: for axes that the model leaves open besides the batch; default 32 for each.

    Raises:
        ProviderMissing: onnxruntime would run it on something else.
        Unsupported: an input holds no numbers, or the batch is fixed to another number.
        RuntimeFailed: the runtime cannot load it or run it.
    """
    runtime = "onnxruntime" if kind == "onnx" else "LiteRT"
    runner: Runner | None = None
    try:
        if kind == "onnx":
            runner = OnnxRunner(
                path, provider or CPU, threads, batch_size, seed, copies=copies, lengths=lengths
            )
        else:
            runner = LiteRtRunner(path, threads, batch_size, seed, lengths)
        runner.prepare()
        runner.run_once()
    except FoldbnError:
        raise
    # onnxruntime's exceptions derive from Exception directly, LiteRT's are ValueError and
    # RuntimeError; all of them mean that this file does not run here.
    except Exception as error:
        if runner is not None and leave_lengths_open(runner.inputs):
            raise RuntimeFailed(
                f"{path} does not run on inputs of {told(runner.filled)}:"
                f" {runtime} says: {said(error)}",
                f"open lengths are {UNKNOWN_LENGTH}, or those of the file that is named first: name"
                " one first whose lengths are fixed to what the model takes; a batch that was fixed"
                " when the file was made may have to stay",
            ) from error
        raise RuntimeFailed(
            f"{path}: {runtime} says: {said(error)}",
            "the file may be damaged, or use operators newer than the installed runtime",
        ) from error
    return runner
