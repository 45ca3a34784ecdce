"""A model loaded into onnxruntime, on one provider, with its inputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from foldbn.benchmark.inputs import InputSpec, random_arrays, with_sizes
from foldbn.benchmark.providers import (
    DEVICES,
    check_built,
    did_not_start,
    find_libraries,
    ladder,
    quiet,
)
from foldbn.errors import Unsupported

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from foldbn.benchmark.inputs import Lengths

_ONNX_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(bool)": "bool",
    "tensor(int8)": "int8",
    "tensor(int16)": "int16",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
    "tensor(uint8)": "uint8",
    "tensor(uint16)": "uint16",
    "tensor(uint32)": "uint32",
    "tensor(uint64)": "uint64",
}


class OnnxRunner:
    """An onnxruntime session, sequential, fully optimized, on one provider.

    Threads keep spinning between calls, as onnxruntime does by default: a deployed session
    does so too, and with spinning off each call of a small model waits for its threads to
    wake. With one thread there is no pool and nothing spins.
    """

    def __init__(  # noqa: PLR0913 - the coordinates of a measurement
        self,
        path: Path,
        provider: str,
        threads: int,
        batch_size: int | None,
        seed: int,
        *,
        copies: bool = False,
        lengths: Lengths | None = None,
    ) -> None:
        import onnxruntime

        check_built(provider)
        find_libraries(provider)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 4
        with quiet():
            self._session: Any = onnxruntime.InferenceSession(
                str(path), options, providers=ladder(provider), enable_fallback=0
            )
        self.provider = str(self._session.get_providers()[0])
        if self.provider != provider:
            raise did_not_start(provider)
        self.inputs = tuple(_onnx_spec(node) for node in self._session.get_inputs())
        self.filled, self.batch_size = with_sizes(self.inputs, batch_size, lengths or {})
        self._outputs = [node.name for node in self._session.get_outputs()]
        self._feeds = random_arrays(self.filled, seed)
        self._device = None if copies else DEVICES.get(provider)
        self._binding: Any = None

    def prepare(self) -> None:
        """Put the inputs where the session is to find them."""
        # Inputs and outputs stay on the device between calls, so that the time is the model's
        # and not that of copies over the bus; or they don't, as where samples come one by one.
        if self._device:
            self._binding = bind(self._session, self._feeds, self._device)

    def run_once(self) -> None:
        """Compute every output once; on a GPU, wait until they are there."""
        if self._binding:
            self._session.run_with_iobinding(self._binding)
            self._binding.synchronize_outputs()
        else:
            self._session.run(self._outputs, self._feeds)

    def close(self) -> None:
        """Free the session; the binding holds device memory of its own."""
        self._binding = None
        self._session = None


def bind(session: Any, feeds: Mapping[str, NDArray[Any]], device: str) -> Any:
    """Put the inputs on `device`, and have the outputs stay there.

    Args:
        session: an ``onnxruntime.InferenceSession``.
        feeds: arrays by input name.
        device: ``cuda`` or ``cpu``.

    Returns:
        An ``onnxruntime.IOBinding``.
    """
    import onnxruntime

    binding = session.io_binding()
    for name, array in feeds.items():
        value = onnxruntime.OrtValue.ortvalue_from_numpy(array, device, 0)
        binding.bind_ortvalue_input(name, value)
    for node in session.get_outputs():
        binding.bind_output(node.name, device, 0)
    return binding


def _onnx_spec(node: Any) -> InputSpec:
    if node.type not in _ONNX_DTYPES:
        raise Unsupported(
            f"input {node.name!r} is a {node.type}, which foldbn cannot make up",
            "bench times models whose inputs are numbers",
        )
    shape = tuple(size if isinstance(size, int) else None for size in node.shape)
    return InputSpec(node.name, shape, np.dtype(_ONNX_DTYPES[node.type]))
