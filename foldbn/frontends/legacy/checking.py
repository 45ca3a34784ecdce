"""Hold a loaded model against what its file declares, with one forward pass.

Some models load without a complaint and fail, or compute something else, when they are called.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from foldbn.errors import Unsupported, said
from foldbn.frontends.legacy.graphs import is_functional
from foldbn.frontends.legacy.nodes import ports
from foldbn.frontends.legacy.values import plain

# What is tried for lengths that the model leaves open; one, two and three of them.
_LENGTHS = {0: (1,), 1: (128, 16, 1000), 2: (128, 32, 320)}
_MANY = (32, 64, 16)

_SHOWN = 3
_SAVED_MODEL = "give foldbn a SavedModel of the model"
_NO_KERNEL = "Could not find device for node"  # as TensorFlow says it

Shape = tuple[int | None, ...]


def check_loaded(model: Any, config: Any, source: str, originals: dict[str, str]) -> None:
    """Refuse a model whose inputs or outputs are not those that its file declares.

    Args:
        model: loaded.
        config: of the model in the file.
        source: the file, for messages.
        originals: names in the file of layers that were renamed.

    Raises:
        Unsupported: it cannot be called, or is another model than the file's.
    """
    if not getattr(model, "inputs", None):
        return  # what follows refuses it
    if stateful := next(_stateful(model), None):
        raise Unsupported(
            f"layer {originals.get(stateful, stateful)!r} of {source!r} is stateful: what it gives"
            " depends on the calls before",
            "build the model with stateful=False and load the same weights",
        )
    inputs = [(_name(tensor, originals), tuple(tensor.shape)) for tensor in model.inputs]
    outputs = [(_name(tensor, originals), tuple(tensor.shape)) for tensor in model.outputs]
    for what, found, declared in zip(
        ("inputs", "outputs"), (inputs, outputs), _declared(config), strict=True
    ):
        if declared is not None and not _agree(found, declared):
            odd, wanted = _that_differ(found, declared)
            raise Unsupported(
                f"{source!r} loads as another model: its {what} are {_told(odd)},"
                f" and the file declares {_told(wanted)}",
                _SAVED_MODEL,
            )
    shapes = _called(model, source)
    if shapes is None:
        return
    if len(shapes) != len(outputs):
        raise Unsupported(
            f"{source!r} declares {len(outputs)} outputs and gives {len(shapes)}", _SAVED_MODEL
        )
    pairs = zip(shapes, outputs, strict=True)
    if odd := [
        f"{_told([port])} and gives {got}" for got, port in pairs if not _fits(got, port[1])
    ]:
        raise Unsupported(
            f"{source!r} declares the output{'s' * (len(odd) > 1)} {_first(odd)}", _SAVED_MODEL
        )


def _stateful(model: Any) -> Iterator[str]:
    for layer in model.layers:
        if hasattr(layer, "layers"):
            yield from _stateful(layer)
        elif getattr(layer, "stateful", False):
            yield str(layer.name)


Port = tuple[str | None, Shape | None]


def _declared(config: Any) -> tuple[list[Port] | None, list[Port] | None]:
    """Return names and shapes of inputs and outputs as far as the file states them."""
    if is_functional(config):
        inner = config["config"]
        entries = {entry["name"]: entry["config"] for entry in inner["layers"]}
        inputs: list[Port] = [
            (port.layer, _shape_in(entries.get(port.layer, {})))
            for port in ports(inner["input_layers"])
        ]
        outputs: list[Port] = [(port.layer, None) for port in ports(inner["output_layers"])]
        return inputs, outputs
    layers = config.get("config") if isinstance(config, dict) else None
    layers = layers.get("layers") if isinstance(layers, dict) else layers
    if not layers or not isinstance(layers[0].get("config"), dict):
        return None, None
    shape = _shape_in(layers[0]["config"])
    return None if shape is None else [(None, shape)], None


def _shape_in(config: dict[str, Any]) -> Shape | None:
    shape = plain(config.get("batch_shape", config.get("batch_input_shape")))
    return tuple(shape) if isinstance(shape, list) else None


def _agree(found: list[Any], declared: list[Port]) -> bool:
    return len(found) == len(declared) and all(
        name in (None, own_name) and (shape is None or _same(own, shape))
        for (own_name, own), (name, shape) in zip(found, declared, strict=True)
    )


def _that_differ(found: list[Any], declared: list[Port]) -> tuple[list[Any], list[Port]]:
    """Return only the ports that differ, where there are as many of both."""
    if len(found) != len(declared):
        return found, declared
    pairs = zip(found, declared, strict=True)
    odd = [(one, other) for one, other in pairs if not _agree([one], [other])]
    return [one for one, _ in odd], [other for _, other in odd]


def _same(one: Shape, other: Shape) -> bool:
    return len(one) == len(other) and all(a == b for a, b in zip(one, other, strict=True))


def _fits(shape: tuple[int, ...], symbolic: Shape) -> bool:
    return len(shape) == len(symbolic) and all(
        wanted in (None, length) for length, wanted in zip(shape, symbolic, strict=True)
    )


def _called(model: Any, source: str) -> list[tuple[int, ...]] | None:
    """Return the shapes of the outputs for a small batch of zeros.

    Returns:
        None where TensorFlow lacks a kernel, of half precision on the CPU say.
    """
    import keras

    unknown = max(sum(length is None for length in x.shape[1:]) for x in model.inputs)
    structure = model.inputs[0] if isinstance(model, keras.Sequential) else model.input
    failure: Exception | None = None
    for length in _LENGTHS.get(unknown, _MANY):
        zeros = [_zeros(x, length) for x in model.inputs]
        try:
            outputs = model(keras.tree.pack_sequence_as(structure, zeros), training=False)
        except Exception as error:  # noqa: BLE001 - whatever a layer can raise
            failure = error
            continue
        return [tuple(int(each) for each in x.shape) for x in keras.tree.flatten(outputs)]
    if failure is None or _NO_KERNEL in str(failure):
        return None
    raise Unsupported(
        f"{source!r} loads, and cannot be called: {said(failure)}",
        _SAVED_MODEL,
    ) from failure


def _zeros(tensor: Any, length: int) -> Any:
    if tensor.dtype == "string":
        raise Unsupported(f"{tensor.name!r} is a string tensor, not numbers")
    batch, *rest = tensor.shape
    shape = [2 if batch is None else batch, *(length if each is None else each for each in rest)]
    return np.zeros(shape, tensor.dtype)


def _name(tensor: Any, originals: dict[str, str]) -> str:
    name = tensor._keras_history.operation.name  # noqa: SLF001 - Keras has no public way
    return originals.get(name, str(name))


def _first(words: list[str]) -> str:
    """Return what there is in one line, of many things the first three."""
    more = f", and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    return ", ".join(words[:_SHOWN]) + more


def _told(found: list[Any]) -> str:
    return _first([f"{name} {shape or ''}".strip() for name, shape in found])
