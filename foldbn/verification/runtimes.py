"""Run an exported file in its own runtime: onnxruntime, LiteRT or TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foldbn.errors import RuntimeFailed, Unreadable, Unsupported, said
from foldbn.frontends import safety, saved_model
from foldbn.frontends.frozen import FLOATS
from foldbn.verification.batches import Outputs, Samples, run_in_batches
from foldbn.verification.reference import Evaluator

Run = Callable[[Samples], Outputs]
Shape = tuple[int | None, ...]

_OF_KERAS = (b"\x89HDF", b"PK\x03\x04")
_ONNX_FLOATS = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
}


class Artifact:
    """An exported file, loaded.

    Attributes:
        format: ``onnx``, ``tflite`` or ``savedmodel``.
        inputs: names of its inputs, in the file's order.
        outputs: names of its outputs, in the file's order.
        batch_size: length of the leading axis; None where it is dynamic.
        shapes: that the inputs are declared in, by name, as far as they are.
    """

    def __init__(  # noqa: PLR0913 - what is known of a file
        self,
        kind: str,
        inputs: dict[str, str],
        outputs: list[str],
        batch_size: int | None,
        run: Run,
        *,
        shapes: dict[str, Shape],
    ) -> None:
        """Take what a loader found; `inputs` has the element type of each input by its name."""
        self.shapes = shapes
        self.format, self.inputs, self.outputs = kind, list(inputs), outputs
        self._types = inputs
        self.batch_size = batch_size
        self._run = run

    def run(self, samples: Samples) -> Outputs:
        """Return the outputs for `samples`, in batches that the file takes.

        Floats are cast to the type that the file takes. A dynamic batch axis gets batches of
        one, of two and of the rest, so that a batch size that was baked in shows.

        Raises:
            RuntimeFailed: the runtime refuses.
            Unsupported: an output's leading axis is not the batch.
        """
        count = len(next(iter(samples.values())))
        sizes = (1, 2, max(count - 3, 1)) if self.batch_size is None else (self.batch_size,)
        fed = {
            name: array.astype(self._types[name])
            if array.dtype.name in FLOATS and self._types[name] in FLOATS
            else array
            for name, array in samples.items()
        }
        return run_in_batches(self._run_once, fed, sizes)

    def _run_once(self, samples: Samples) -> Outputs:
        try:
            outputs = self._run(samples)
        except Exception as error:  # all runtimes raise their own
            raise RuntimeFailed(f"the {self.format} file does not run: {said(error)}") from error
        for name, array in outputs.items():
            if not isinstance(array, np.ndarray | np.generic):
                raise RuntimeFailed(f"the {self.format} file gives no tensor as {name!r}")
        return outputs


def load_artifact(content: bytes | Path, name: str, signature: str) -> Artifact:
    """Load an exported model.

    Args:
        content: of an .onnx or .tflite file; the path of a SavedModel directory.
        name: for messages.
        signature: which one of a SavedModel; one that has only another is loaded as well.

    Raises:
        Unreadable: it is none of these.
        Unsafe: it is a SavedModel that would touch the machine.
        Unsupported: it has no input with a batch axis, or several signatures.
        RuntimeFailed: its runtime cannot load it.
    """
    if isinstance(content, Path):
        return _load_saved_model(content, name, signature)
    if content[4:8] == b"TFL3":
        return _load_tflite(content, name)
    return _load_onnx(content, name)


def _load_onnx(content: bytes, name: str) -> Artifact:
    import onnx
    import onnxruntime

    try:
        proto = onnx.load_from_string(content)
    except Exception as error:  # protobuf raises its own
        raise _unknown(content, name) from error
    if not proto.graph.node and not proto.graph.output:
        raise _unknown(content, name)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises its own
        raise RuntimeFailed(f"onnxruntime cannot load {name!r}: {said(error)}") from error
    inputs = {each.name: _ONNX_FLOATS.get(each.type, each.type) for each in session.get_inputs()}
    outputs = [each.name for each in session.get_outputs()]
    first = session.get_inputs()[0].shape[:1] if inputs else []
    batch = first[0] if first and isinstance(first[0], int) else None

    def run(samples: Samples) -> Outputs:
        return dict(zip(outputs, session.run(outputs, samples), strict=True))

    shapes = {
        each.name: tuple(n if isinstance(n, int) else None for n in each.shape)
        for each in session.get_inputs()
    }
    return Artifact("onnx", inputs, outputs, batch, run, shapes=shapes)


def _unknown(content: bytes, name: str) -> Unreadable:
    return Unreadable(
        f"{name!r} is neither ONNX nor TFLite, nor a SavedModel directory",
        "a Keras file is an original: foldbn convert makes ONNX and TFLite of it"
        if content.startswith(_OF_KERAS)
        else "",
    )


def _load_tflite(content: bytes, name: str) -> Artifact:
    from ai_edge_litert.interpreter import Interpreter

    try:
        interpreter = Interpreter(model_content=content, num_threads=1)
        signatures = interpreter.get_signature_list()
        details = interpreter.get_input_details()
        runners = [interpreter.get_signature_runner(key) for key in signatures]
        known = [runner.get_input_details() for runner in runners]
    except Exception as error:  # LiteRT raises ValueError and RuntimeError
        raise RuntimeFailed(f"LiteRT cannot load {name!r}: {said(error)}") from error
    if not details or not len(details[0]["shape"]):
        raise Unsupported(f"{name!r} has no input with a batch axis")
    dynamic = any(len(d["shape_signature"]) and d["shape_signature"][0] == -1 for d in details)
    batch = None if dynamic else int(details[0]["shape"][0])
    if len(signatures) > 1:
        raise Unsupported(f"{name!r} has several signatures: {', '.join(signatures)}")
    if not signatures:
        return _plain_tflite(interpreter, batch)
    (runner,), (ports,), (details_of,) = runners, signatures.values(), known

    def run(samples: Samples) -> Outputs:
        outputs: dict[str, NDArray[Any]] = runner(**samples)
        return outputs

    inputs = {name: details_of[name]["dtype"].__name__ for name in ports["inputs"]}
    shapes = {name: _tflite_shape(detail) for name, detail in details_of.items()}
    return Artifact("tflite", inputs, list(ports["outputs"]), batch, run, shapes=shapes)


def _tflite_shape(detail: Any) -> Shape:
    return tuple(None if length < 0 else int(length) for length in detail["shape_signature"])


def _plain_tflite(interpreter: Any, batch: int | None) -> Artifact:
    """Run a file without signatures by its tensors, in their order."""
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()

    def run(samples: Samples) -> Outputs:
        for detail in inputs:
            interpreter.resize_tensor_input(detail["index"], samples[detail["name"]].shape)
        interpreter.allocate_tensors()
        for detail in inputs:
            interpreter.set_tensor(detail["index"], samples[detail["name"]])
        interpreter.invoke()
        return {d["name"]: interpreter.get_tensor(d["index"]) for d in outputs}

    types = {d["name"]: d["dtype"].__name__ for d in inputs}
    shapes = {d["name"]: _tflite_shape(d) for d in inputs}
    return Artifact("tflite", types, [d["name"] for d in outputs], batch, run, shapes=shapes)


def _load_saved_model(path: Path, name: str, signature: str) -> Artifact:
    import tensorflow as tf

    proto = safety.read_checked(path)
    there = saved_model.signatures_of(proto)
    if signature not in there and len(there) != 1:
        listed = ", ".join(there) or "none"
        raise RuntimeFailed(f"{name!r} has no signature {signature!r}; it has {listed}")
    chosen = signature if signature in there else there[0]
    try:
        with tf.device("/CPU:0"):
            loaded = tf.saved_model.load(str(path))
    except Exception:  # noqa: BLE001 - the objects of an old Keras; the graph may be sound
        return _load_graph(path, proto, chosen)
    function = loaded.signatures[chosen]
    # What clients call the inputs; the Python names are changed where Python asks for it.
    names = list(function._arg_keywords)  # noqa: SLF001 - there is no public way to ask
    inputs = {n: x.dtype.name for n, x in zip(names, function.inputs, strict=False)}
    shape = function.inputs[0].shape if inputs else None
    batch = shape[0] if shape else None

    def run(samples: Samples) -> Outputs:
        # `loaded` owns the variables and must outlive the calls.
        with tf.device("/CPU:0"):
            found = loaded.signatures[chosen](**{n: tf.constant(a) for n, a in samples.items()})
        return {key: tensor.numpy() for key, tensor in found.items()}

    shapes = {
        n: tuple(x.shape.as_list())
        for n, x in zip(names, function.inputs, strict=False)
        if x.shape.rank is not None
    }
    outputs = sorted(function.structured_outputs)
    return Artifact("savedmodel", inputs, outputs, batch, run, shapes=shapes)


def _load_graph(path: Path, proto: Any, signature: str) -> Artifact:
    """Load a SavedModel as servers do: its graph and its variables, without its objects."""
    model = saved_model.load(path, proto, signature)
    inputs = {port.name: port.dtype for port in model.inputs}
    outputs = [port.name for port in model.outputs]
    shapes = {port.name: port.shape for port in model.inputs}
    return Artifact(
        "savedmodel", inputs, outputs, model.batch_size, Evaluator(model), shapes=shapes
    )
