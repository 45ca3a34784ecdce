"""Write .h5 files as old versions of Keras did, and compute with what is loaded from them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from foldbn.frontends.frozen import FrozenModel
from foldbn.frontends.keras_files import load
from foldbn.frontends.precision import GraphRunner

Weights = dict[str, list[tuple[str, Any]]]


def layer(kind: str, name: str, *inbound: Any, **config: Any) -> dict[str, Any]:
    """Return what Keras 2 writes for a layer that is called once on the layers `inbound`."""
    nodes = [[[each, 0, 0, {}] if isinstance(each, str) else each for each in inbound]]
    return {
        "class_name": kind,
        "name": name,
        "config": {"name": name, **config},
        "inbound_nodes": nodes if inbound else [],
    }


def source(name: str, *shape: int | None, **config: Any) -> dict[str, Any]:
    """Return what Keras 2 writes for an input of the shape of one sample."""
    return layer("InputLayer", name, batch_input_shape=[None, *shape], dtype="float32", **config)


def functional(
    layers: list[dict[str, Any]], inputs: Any, outputs: Any, name: str = "model"
) -> dict[str, Any]:
    """Return a Functional model with the given ports."""
    config = {"name": name, "layers": layers, "input_layers": inputs, "output_layers": outputs}
    return {"class_name": "Functional", "config": config}


def chain(*layers: dict[str, Any]) -> dict[str, Any]:
    """Return a Functional model of layers that follow on each other, the input first."""
    first, last = layers[0]["name"], layers[-1]["name"]
    return functional(list(layers), [[first, 0, 0]], [[last, 0, 0]])


def write(
    path: Path,
    config: dict[str, Any],
    weights: Weights | None = None,
    version: str | None = "2.4.0",
    backend: str = "tensorflow",
) -> Path:
    """Write an .h5 file of a configuration and the named weights of each layer."""
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(config)
        if version:
            file.attrs["keras_version"] = version.encode()
            file.attrs["backend"] = backend.encode()
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [name.encode() for name in weights or {}]
        for name, arrays in (weights or {}).items():
            part = group.create_group(name)
            part.attrs["weight_names"] = [key.encode() for key, _ in arrays]
            for key, array in arrays:
                part[key] = np.asarray(array, np.float32)
    return path


def computed(model: FrozenModel, *inputs: Any) -> list[NDArray[Any]]:
    """Return the outputs of a frozen model."""
    feed = {
        port.node: np.asarray(each, port.dtype)
        for port, each in zip(model.inputs, inputs, strict=True)
    }
    return GraphRunner(model).run([port.node for port in model.outputs], feed)


def outputs_of(
    path: Path, config: dict[str, Any], weights: Weights | None, *inputs: Any, **options: Any
) -> list[NDArray[Any]]:
    """Write a file, load it, and return what it computes."""
    return computed(load(write(path, config, weights, **options), "keras-h5"), *inputs)
