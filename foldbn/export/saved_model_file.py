"""Write folded graphs back as one SavedModel: a signature for each, the weights as variables.

A GraphDef holds at most 2 GB, and a server shares the variables of a checkpoint between its
signatures: great weights are stored there, once each, and only small constants in the graph.
"""

from __future__ import annotations

import hashlib
import keyword
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foldbn.errors import ConversionFailed, said
from foldbn.export.stand_ins import with_placeholders
from foldbn.frontends.channels_last import channels_last
from foldbn.frontends.frozen import FrozenModel, GraphDef, empty_like
from foldbn.frontends.written_out import with_single_groups

_FINGERPRINT = "fingerprint.pb"
# As graphs are imported: Python alone lets backslashes pass as well.
_NAME_OF_A_NODE = re.compile(r"[A-Za-z0-9.][\w./>-]*", re.ASCII)


def to_saved_model(models: Sequence[FrozenModel], folder: Path) -> None:
    """Write `models` as one SavedModel that plain TensorFlow loads and serves.

    Args:
        models: at least one; each becomes the signature that it names.
        folder: where to; it is made.

    Raises:
        ConversionFailed: TensorFlow refuses a graph, or cannot write, or two inputs of a graph
            have names that are one to it.
    """
    import tensorflow as tf

    for model in models:
        _check_told_apart(model)
    variables = _Variables()
    arguments = [_arguments(model, place) for place, model in enumerate(models)]
    try:
        functions = {
            model.signature: _concrete_function(model, list(names), variables)
            for model, names in zip(models, arguments, strict=True)
        }
        module = tf.Module()
        module.weights = variables.named
        tf.saved_model.save(module, str(folder), signatures=functions)
        _rename_arguments(folder, arguments)
        _settle_fingerprint(folder)
    except Exception as error:  # TensorFlow raises whatever it stumbles over
        raise ConversionFailed(
            f"TensorFlow cannot write the model as a SavedModel: {said(error)}",
            "foldbn convert --to onnx or --to tflite leaves it out",
        ) from error


def as_served(model: FrozenModel) -> FrozenModel:
    """Return `model` in ops that TensorFlow has a kernel for without a GPU and without XLA."""
    return with_single_groups(replace(model, graph_def=channels_last(model.graph_def)))


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


def _arguments(model: FrozenModel, place: int) -> dict[str, str]:
    """Return the name of each input by the one that it is written under.

    They are the same unless TensorFlow makes no argument of a Python function of one of them.
    """
    names = [port.name for port in model.inputs]
    if all(_NAME_OF_A_NODE.fullmatch(name) and not keyword.iskeyword(name) for name in names):
        return dict(zip(names, names, strict=True))
    # In the order of the right names: TensorFlow feeds a loaded signature in sorted order.
    order = {name: number for number, name in enumerate(sorted(names))}
    return {f"foldbn_argument_{place}_{order[name]:04}": name for name in names}


def _rename_arguments(folder: Path, arguments: Sequence[dict[str, str]]) -> None:
    """Give the inputs of signatures other names; those of the functions behind them stay."""
    from tensorflow.core.protobuf import saved_model_pb2
    from tensorflow.python.saved_model import fingerprinting_utils

    names = {old: new for each in arguments for old, new in each.items()}
    if all(old == new for old, new in names.items()):
        return
    path = folder / "saved_model.pb"
    proto = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    (graph,) = proto.meta_graphs
    for signature in graph.signature_def.values():
        ports = {names.get(name, name): port for name, port in signature.inputs.items()}
        signature.inputs.clear()
        for name, port in ports.items():
            signature.inputs[name].CopyFrom(port)
    shown = [each for each in arguments if _can_be_shown(list(each.values()))]
    for function in graph.object_graph_def.concrete_functions.values():
        for each in shown:
            _rename_fields(function.canonicalized_input_signature, each)
    for node in graph.object_graph_def.nodes:
        for each in shown:
            _rename_strings(node.bare_concrete_function.function_spec.fullargspec, each)
        keywords = node.bare_concrete_function.argument_keywords
        if keywords:
            keywords[:] = [names.get(name, name) for name in keywords]
    path.write_bytes(proto.SerializeToString(deterministic=True))
    fingerprinting_utils.write_fingerprint(str(folder))


def _rename_fields(structure: Any, names: dict[str, str]) -> None:
    """Rename the keyword arguments among what TensorFlow says of a function's arguments."""
    for part in structure.tuple_value.values:
        for key in set(part.dict_value.fields) & set(names):
            field = part.dict_value.fields.pop(key)
            field.tensor_spec_value.name = names[key]
            part.dict_value.fields[names[key]].CopyFrom(field)


def _rename_strings(structure: Any, names: dict[str, str]) -> None:
    """Rename the same arguments among those that the Python function has."""
    for pair in structure.named_tuple_value.values:
        for value in pair.value.list_value.values:
            if value.string_value in names:
                value.string_value = names[value.string_value]


def _as_parameter(name: str) -> str:
    """Return what TensorFlow makes of a name, to call a loaded signature by it from Python."""
    swapped = "".join(letter if letter.isalnum() else "_" for letter in name)
    return swapped if swapped[:1].isalpha() else f"arg_{swapped}"


def _can_be_shown(names: list[str]) -> bool:
    """Whether TensorFlow, which calls a loaded signature by the names that it shows, can do so.

    It loads no signature with a name that is none in Python, and sorts the names in either form.
    """
    parameters = [_as_parameter(name) for name in names]
    valid = all(each.isidentifier() and not keyword.iskeyword(each) for each in parameters)
    return valid and sorted(names) == sorted(names, key=_as_parameter)


def _check_told_apart(model: FrozenModel) -> None:
    """Refuse inputs that TensorFlow takes for one when a loaded signature is called."""
    known: dict[str, str] = {}
    for port in model.inputs:
        other = known.setdefault(_as_parameter(port.name), port.name)
        if other != port.name:
            raise ConversionFailed(
                f"the inputs {other!r} and {port.name!r} are one to TensorFlow, which calls both"
                f" {_as_parameter(port.name)!r}: no SavedModel of the model can be called",
                "rename one of the two layers, or leave --to savedmodel out",
            )


def _concrete_function(model: FrozenModel, names: list[str], variables: _Variables) -> Any:
    """Return a function of the model's inputs, under these names, that reads its variables."""
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

    specs = [
        tf.TensorSpec(port.shape, port.dtype, name=name)
        for port, name in zip(model.inputs, names, strict=True)
    ]
    return tf.function(serve, autograph=False).get_concrete_function(*specs)


def _without_weights(model: FrozenModel) -> tuple[GraphDef, dict[str, NDArray[Any]]]:
    """Return the graph without its inputs and great weights, and these by their nodes' names."""
    light = with_placeholders(as_served(model))
    given = {port.node for port in model.inputs} | set(light.weights)
    graph_def = empty_like(light.model.graph_def)
    graph_def.node.extend(node for node in light.model.graph_def.node if node.name not in given)
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
