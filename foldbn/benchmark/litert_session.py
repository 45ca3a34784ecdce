"""A model loaded into LiteRT, with its inputs."""

from __future__ import annotations

import mmap
import os
import sys
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from foldbn.benchmark.inputs import InputSpec, random_arrays, with_sizes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from foldbn.benchmark.inputs import Lengths

LITERT = "LiteRT"


class LiteRtRunner:
    """A LiteRT interpreter with its default delegate, XNNPACK on a CPU."""

    provider = LITERT

    def __init__(
        self,
        path: Path,
        threads: int,
        batch_size: int | None,
        seed: int,
        lengths: Lengths | None = None,
    ) -> None:
        from ai_edge_litert.interpreter import Interpreter

        with _quiet_stderr():
            self._interpreter: Any = Interpreter(model_path=str(path), num_threads=threads)
        self._details = self._interpreter.get_input_details()
        names = _names_of_ports(path)
        self.inputs = tuple(
            replace(spec, name=names.get(detail["index"], spec.name))
            for detail, spec in zip(
                self._details,
                _litert_specs(self._details, resize=batch_size is not None),
                strict=True,
            )
        )
        self.filled, self.batch_size = with_sizes(self.inputs, batch_size, lengths or {})
        arrays = random_arrays(self.filled, seed)
        self._feeds = [
            (detail["index"], arrays[spec.name])
            for detail, spec in zip(self._details, self.filled, strict=True)
        ]
        self._outputs = [detail["index"] for detail in self._interpreter.get_output_details()]

    def prepare(self) -> None:
        """Give the inputs their sizes, and every tensor its memory."""
        with _quiet_stderr():
            for detail, spec in zip(self._details, self.filled, strict=True):
                if tuple(detail["shape"]) != spec.shape:
                    self._interpreter.resize_tensor_input(detail["index"], spec.shape)
            self._interpreter.allocate_tensors()

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


def _names_of_ports(path: Path) -> dict[int, str]:
    """Return what callers name the inputs, by the tensor's number.

    The tensors have other names, and LiteRT tells which is which only through a runner of the
    signature, which would have the delegate plan for sizes that the inputs are yet to lose.
    """
    from ai_edge_litert import schema_py_generated as schema

    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        model = schema.Model.GetRootAs(content)
        signatures = map(model.SignatureDefs, range(model.SignatureDefsLength()))
        ports = [
            each.Inputs(number)
            for each in signatures
            if each.SubgraphIndex() == 0  # the one that runs
            for number in range(each.InputsLength())
        ]
        named = ((port.TensorIndex(), port.Name()) for port in ports)
        return {number: name.decode() for number, name in named if name}


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
