"""Bound what a configuration asks for by what its file stores, before anything is built.

A few bytes can name a kernel of 60 GiB. Every weight of a model has its value in the file, so a
configuration that asks for more numbers than are stored cannot be that of its file.
"""

from __future__ import annotations

import contextlib
import math
import zipfile
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from foldbn.errors import Unsafe
from foldbn.frontends.demand import demand
from foldbn.frontends.sniff import Format
from foldbn.frontends.unpacking import hdf5_in

_FREE = 2**22  # weights that may be made in any case: 16 MiB
_LARGEST = 2**28  # numbers in one tensor for one sample: 1 GiB
_MOST_SAMPLES = 2**10  # in a batch that a graph fixes: of more, so many are let pass
# Combinations of shapes that functions are called on; looking at one takes milliseconds.
_SHAPES, _SHAPES_OF_EACH = 2**10, 2**6
_HINT = "the configuration in the file is not that of the weights beside it"


def check_budget(config: Any, path: Path, kind: Format, own: Collection[str] = ()) -> int:
    """Refuse a configuration that asks for more weights than its file stores, or huge tensors.

    This needs no framework, and sees what the layers' sizes alone say; `bounded` sees the rest.

    Args:
        config: of the model, checked.
        path: of the file.
        kind: what `sniff` says it is.
        own: classes that the user has given.

    Returns:
        How many weights the model may have.

    Raises:
        Unsafe: it asks for more.
    """
    stored = _stored(path, kind)
    asked = demand(config, own)
    if asked.weights > stored + _FREE:
        raise Unsafe(
            f"{str(path)!r} asks for {_told(asked.weights)} weights and stores {stored:,}", _HINT
        )
    _check_tensor(asked.largest, repr(str(path)))
    return stored + _FREE


@contextlib.contextmanager
def bounded(limit: int, name: str) -> Iterator[None]:
    """Refuse the weight that is one too many before memory is taken for it, while this lasts.

    A model may be begun twice, by Keras and again by foldbn.

    Args:
        limit: how many numbers the weights of the model may have.
        name: of the file, for messages.

    Raises:
        Unsafe: a layer asks for more.
    """
    from unittest import mock

    import keras

    make = keras.layers.Layer.add_weight
    made = 0

    def add_weight(layer: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal made
        made += math.prod(args[0] if args else kwargs.get("shape") or ())
        if made > 2 * limit:
            raise Unsafe(f"{name!r} asks for more weights than it stores: {layer.name!r}", _HINT)
        return make(layer, *args, **kwargs)

    with mock.patch.object(keras.layers.Layer, "add_weight", add_weight):
        yield


def check_tensors(model: Any, name: str) -> None:
    """Refuse a built model in which a layer gives tensors of a size that no memory holds.

    Args:
        model: of Keras 3; it is not run.
        name: of the file, for messages.

    Raises:
        Unsafe: one sample of a tensor has more than 2^28 numbers, a length of None taken for 1.
    """
    for layer in model._flatten_layers():
        for operation in (layer, *getattr(layer, "operations", ())):
            for node in operation._inbound_nodes:
                for tensor in node.outputs:
                    _check_tensor(math.prod(length or 1 for length in tensor.shape[1:]), repr(name))


def check_graph(graph: Any, batch: int | None = None) -> None:
    """Refuse a graph that computes a tensor of a size that no memory holds, in loops as well.

    Args:
        graph: a tf.Graph, whose constants are there already; it is not run.
        batch: how many samples its inputs hold, where the graph itself fixes it.

    Raises:
        Unsafe: a tensor has more than 2^28 numbers for each sample, a length of None taken for 1;
            or functions call each other on too many shapes, which may double with each call.
    """
    functions = {each.signature.name: each for each in graph.as_graph_def().library.function}
    waiting, seen = [graph], set()
    with graph.as_default():
        while waiting:
            for operation in waiting.pop().get_operations():
                if operation.type != "Const":
                    _check_outputs(operation, min(batch or 1, _MOST_SAMPLES))
                shapes = _shapes_inside(operation) if functions else []
                for name in _called(operation.node_def) & functions.keys():
                    call = (name, str(shapes))
                    if call not in seen:
                        seen.add(call)
                        _check_calls(len(seen), len(functions))
                        waiting.append(_inside(functions[name], shapes))


def _check_calls(number: int, functions: int) -> None:
    most = _SHAPES + _SHAPES_OF_EACH * functions
    if number > most:
        raise Unsafe(
            f"the graph calls its {functions:,} functions on more than {most:,} combinations of"
            " shapes",
            "no model of layers does: was the file made to keep its reader busy?",
        )


def _check_outputs(operation: Any, batch: int) -> None:
    for tensor in operation.outputs:
        if tensor.shape.rank:
            numbers = math.prod(length or 1 for length in tensor.shape)
            # Where samples and steps are one axis, its length is a multiple of the batch.
            samples = batch if not (tensor.shape[0] or 1) % batch else 1
            _check_tensor(numbers // samples, f"the op {operation.type} ({operation.name})")


def _called(node: Any) -> set[str]:
    """Return the functions that a node names: the body of a loop, say."""
    return {each.name for value in node.attr.values() for each in (value.func, *value.list.func)}


def _shapes_inside(operation: Any) -> list[Any]:
    """Return the shapes that a function gets: what goes round in a loop, what a branch reads."""
    if operation.type in ("While", "StatelessWhile"):
        return [tensor.shape for tensor in operation.outputs]
    chooses = operation.type in ("If", "StatelessIf", "Case", "StatelessCase")
    return [tensor.shape for tensor in operation.inputs[1 if chooses else 0 :]]


def _inside(function: Any, shapes: list[Any]) -> Any:
    """Return a function of the current graph as a graph, with its shapes as far as they go."""
    from tensorflow.python.framework.function_def_to_graph import function_def_to_graph

    try:
        return function_def_to_graph(function, input_shapes=shapes)
    except ValueError:  # other arguments than it takes, which whoever runs it will say
        return function_def_to_graph(function)


def _check_tensor(numbers: int, name: str) -> None:
    if numbers > _LARGEST:
        raise Unsafe(
            f"{name} asks for a tensor of {_told(numbers)} numbers for each sample",
            f"foldbn takes models whose tensors have up to {_LARGEST:,} numbers",
        )


def _stored(path: Path, kind: Format) -> int:
    """Return how many numbers the HDF5 part of a file holds."""
    import h5py

    if kind == "keras-h5":
        with h5py.File(path, "r") as file:
            return _numbers(file)
    with zipfile.ZipFile(path) as archive, hdf5_in(archive, "model.weights.h5") as file:
        return _numbers(file)


def _numbers(group: Any) -> int:
    import h5py

    return sum(
        int(item.size or 0) if isinstance(item, h5py.Dataset) else _numbers(item)
        for item in group.values()
    )


def _told(number: int) -> str:
    return f"{number:,}" if number < 10**15 else f"{number:.1e}" if number < 10**300 else "endless"
