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


def check_graph(graph: Any) -> None:
    """Refuse a graph that computes a tensor of a size that no memory holds.

    Args:
        graph: a tf.Graph, whose constants are there already; it is not run.

    Raises:
        Unsafe: a tensor has more than 2^28 numbers, a length of None taken for 1.
    """
    for operation in graph.get_operations():
        if operation.type == "Const":
            continue
        for tensor in operation.outputs:
            if tensor.shape.rank:
                numbers = math.prod(length or 1 for length in tensor.shape)
                _check_tensor(numbers, f"the op {operation.type} ({operation.name})")


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
