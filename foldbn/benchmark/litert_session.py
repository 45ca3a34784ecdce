"""A model loaded into LiteRT, with its inputs."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from foldbn.benchmark.inputs import InputSpec, random_arrays, with_batch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LITERT = "LiteRT"


class LiteRtRunner:
    """A LiteRT interpreter with its default delegate, XNNPACK on a CPU."""

    provider = LITERT

    def __init__(self, path: Path, threads: int, batch_size: int | None, seed: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        with _quiet_stderr():
            self._interpreter: Any = Interpreter(model_path=str(path), num_threads=threads)
            details = self._interpreter.get_input_details()
            specs, self.batch_size = with_batch(
                _litert_specs(details, resize=batch_size is not None), batch_size
            )
            for detail, spec in zip(details, specs, strict=True):
                if tuple(detail["shape"]) != spec.shape:
                    self._interpreter.resize_tensor_input(detail["index"], spec.shape)
            self._interpreter.allocate_tensors()
        arrays = random_arrays(specs, seed)
        self._feeds = [(detail["index"], arrays[detail["name"]]) for detail in details]
        self._outputs = [detail["index"] for detail in self._interpreter.get_output_details()]

    def run_once(self) -> None:
        """Copy the inputs in, compute, and copy every output out, as callers do."""
        for index, array in self._feeds:
            self._interpreter.set_tensor(index, array)
        self._interpreter.invoke()
        for index in self._outputs:
            self._interpreter.get_tensor(index)

    def close(self) -> None:
        """Free the interpreter."""
        self._interpreter = None


def _litert_specs(details: list[dict[str, Any]], *, resize: bool) -> list[InputSpec]:
    """Read the inputs; `resize` opens the batch axis, which LiteRT can change on loading.

    Only inputs with the first input's batch are opened: another one's first axis need not
    be a batch.
    """
    signatures = [
        # Files without a signature of open axes have an empty one.
        tuple(detail["shape_signature"]) or tuple(detail["shape"])
        for detail in details
    ]
    first = next((signature[0] for signature in signatures if signature), -1)
    specs = []
    for detail, signature in zip(details, signatures, strict=True):
        shape: list[int | None] = [None if size < 0 else int(size) for size in signature]
        if resize and shape and signature[0] == first:
            shape[0] = None
        specs.append(InputSpec(detail["name"], tuple(shape), np.dtype(detail["dtype"])))
    return specs


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Send descriptor 2 to nowhere: LiteRT's C++ logger has no level that Python can set."""
    sys.stderr.flush()
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)
