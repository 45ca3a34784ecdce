"""Write folded graphs back as one SavedModel: a signature for each, the weights as variables.

A GraphDef holds at most 2 GB, and a server shares the variables of a checkpoint between its
signatures: great weights are stored there, once each, and only small constants in the graph.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foldbn.errors import ConversionFailed, said
from foldbn.export.stand_ins import with_placeholders
from foldbn.frontends.frozen import FrozenModel, GraphDef, empty_like

_FINGERPRINT = "fingerprint.pb"


def to_saved_model(models: Sequence[FrozenModel], folder: Path) -> None:
    """Write `models` as one SavedModel that plain TensorFlow loads and serves.

    Args:
        models: at least one; each becomes the signature that it names.
        folder: where to; it is made.

    Raises:
        ConversionFailed: TensorFlow refuses a graph, or cannot write.
    """
    import tensorflow as tf

    variables = _Variables()
    try:
        functions = {model.signature: _concrete_function(model, variables) for model in models}
        module = tf.Module()
        module.weights = variables.named
        tf.saved_model.save(module, str(folder), signatures=functions)
        _settle_fingerprint(folder)
    except Exception as error:  # TensorFlow raises whatever it stumbles over
        raise ConversionFailed(
            f"TensorFlow cannot write the model as a SavedModel: {said(error)}",
            "foldbn convert --to onnx or --to tflite leaves it out",
        ) from error


class _Variables:
    """The variables that all signatures share: weights of equal content are one.

    Attributes:
        named: each variable by a name that no other has.
    """

    def __init__(self) -> None:
        self.named: dict[str, Any] = {}
        self._known: dict[tuple[Any, ...], Any] = {}

    def of(self, name: str, value: NDArray[Any]) -> Any:
        """Return the variable that holds `value`, made under `name` where there is none."""
        import tensorflow as tf

        content = np.ascontiguousarray(value)
        key = content.shape, content.dtype.str, hashlib.sha256(content.data).digest()
        if key not in self._known:
            free, number = name, 0
            while free in self.named:
                number += 1
                free = f"{name}_{number}"
            with tf.device("/CPU:0"):
                variable = tf.Variable(content, trainable=False, name=free)
            self._known[key] = self.named[free] = variable
        return self._known[key]


def _concrete_function(model: FrozenModel, variables: _Variables) -> Any:
    """Return a function of the model's inputs, under their names, that reads its variables."""
    import tensorflow as tf

    graph_def, weights = _without_weights(model)
    stored = {name: variables.of(name, value) for name, value in weights.items()}

    def serve(*arguments: Any) -> dict[str, Any]:
        given = {port.node: x for port, x in zip(model.inputs, arguments, strict=True)}
        given |= {name: variable.read_value() for name, variable in stored.items()}
        results = tf.graph_util.import_graph_def(
            graph_def,
            input_map={f"{node}:0": tensor for node, tensor in given.items()},
            return_elements=[f"{port.node}:0" for port in model.outputs],
            name="",
        )
        return {port.name: result for port, result in zip(model.outputs, results, strict=True)}

    specs = [tf.TensorSpec(port.shape, port.dtype, name=port.name) for port in model.inputs]
    return tf.function(serve, autograph=False).get_concrete_function(*specs)


def _without_weights(model: FrozenModel) -> tuple[GraphDef, dict[str, NDArray[Any]]]:
    """Return the graph without its inputs and great weights, and these by their nodes' names."""
    light = with_placeholders(model)
    given = {port.node for port in model.inputs} | set(light.weights)
    graph_def = empty_like(model.graph_def)
    graph_def.node.extend(n for n in light.model.graph_def.node if n.name not in given)
    return graph_def, light.weights


def _settle_fingerprint(folder: Path) -> None:
    """Derive the fingerprint's random UUID from its hashes: the same input, the same bytes."""
    from tensorflow.core.protobuf import fingerprint_pb2

    path = folder / _FINGERPRINT
    fingerprint = fingerprint_pb2.FingerprintDef.FromString(path.read_bytes())
    fingerprint.uuid = ""
    hashes = fingerprint.SerializeToString(deterministic=True)
    # As long and as decimal as the number that TensorFlow draws.
    fingerprint.uuid = str(int.from_bytes(hashlib.sha256(hashes).digest()[:8]))
    path.write_bytes(fingerprint.SerializeToString(deterministic=True))
