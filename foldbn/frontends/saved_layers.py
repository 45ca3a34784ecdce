"""The layers of a SavedModel, which has no list of them: names of variables and scopes tell."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from foldbn.frontends.attribution import candidates
from foldbn.frontends.frozen import FrozenModel, Layers, node_of

_KERAS_1 = re.compile(r"(.+)_(gamma|beta|running_mean|running_std|W|b)")
_NUMBERED = re.compile(r"_\d+$")
_STATISTICS = ("moving_variance", "running_std", "moving_var")
_OF_OTHERS = ("kernel", "bias", "depthwise_kernel", "pointwise_kernel", "embeddings")
_OF_KERAS_3 = ("_losses_override", "_loss_ids")

Path = tuple[str, ...]


def variable_name(node: Any) -> str:
    """Return the name that the writer gave a variable, by its node."""
    shared = node.attr["shared_name"].s if "shared_name" in node.attr else b""
    return shared.decode(errors="replace") or str(node.name)


def layers_of(names: Mapping[str, str], meta: Any) -> Layers:
    """Read the layers off the names of the variables, like ``model/bn/moving_variance``.

    Keras 1 wrote ``bn_running_std``.

    Args:
        names: of the variables, by their nodes.
        meta: the MetaGraphDef.
    """
    scopes = {node: scope for node, name in names.items() if (scope := _parts(name)[:-1])}
    variables = {node: scope[-1] for node, scope in scopes.items()}
    return Layers(_classes(variables, names), variables, suffixed=_written_by_keras_3(meta))


def parted_by_readers(model: FrozenModel, names: Mapping[str, str]) -> Layers:
    """Tell the layers of a model apart whose variables are all named after one scope.

    Keras 3 calls the variables of a subclassed model ``model/gamma`` and ``model/gamma_1``. The ops
    that read them stand in scopes of their own, ``model_1/bn_a_1`` and ``model_1/bn_b_1``.

    Args:
        model: its variables already constants.
        names: of the variables, by their nodes.
    """
    layers = model.layers
    paths = _paths(model)
    together: dict[str, list[str]] = {}
    for variable in paths:
        together.setdefault(layers.variables[variable], []).append(variable)
    waiting = [(members, 0) for members in together.values()]
    variables = dict(layers.variables)
    while waiting:
        members, depth = waiting.pop()
        if not _is_of_several(names[variable] for variable in members):
            continue
        parts: dict[str, list[str]] = {}
        for variable in members:
            if len(paths[variable]) > depth:
                variables[variable] = paths[variable][depth]
                parts.setdefault(variables[variable], []).append(variable)
        waiting += [(part, depth + 1) for part in parts.values()]
    if variables == layers.variables:
        return layers
    return replace(layers, classes=_classes(variables, names), variables=variables)


def _paths(model: FrozenModel) -> dict[str, Path]:
    """Return the scopes in which each variable is first computed with, below its layer's own."""
    origins = {variable: variable for variable in model.layers.variables}
    paths: dict[str, Path] = {}
    for node in model.graph_def.node:
        for source in map(node_of, node.input):
            variable = origins.get(source)
            if variable is None:
                continue
            if node.op == "Identity":  # what a call or ReadVariableOp has become
                origins[node.name] = variable
            else:
                path = _below(model.layers.variables[variable], node.name, model.layers)
                paths.setdefault(variable, path)
    return paths


def _below(layer: str, reader: str, layers: Layers) -> Path:
    """Return the scopes around a node, below that of a layer, as names of layers."""
    scopes = reader.split("/")[:-1]
    for place, scope in enumerate(scopes):
        if layer in candidates(scope, suffixed=layers.suffixed):
            below = scopes[place + 1 :]
            return tuple(candidates(each, suffixed=layers.suffixed)[0] for each in below)
    return ()


def _is_of_several(names: Iterable[str]) -> bool:
    """Whether variables of these names are more than one layer has."""
    own = [_NUMBERED.sub("", _parts(name)[-1]) for name in names]
    mixed = any(name in _STATISTICS for name in own) and any(name in _OF_OTHERS for name in own)
    return mixed or len(own) > len(set(own))


def _classes(variables: Mapping[str, str], names: Mapping[str, str]) -> dict[str, str]:
    """Return the class of each layer, as far as the names of its variables give it away."""
    own: dict[str, set[str]] = {}
    for node, layer in variables.items():
        own.setdefault(layer, set()).add(_NUMBERED.sub("", _parts(names[node])[-1]))
    return {
        layer: "BatchNormalization" if weights.intersection(_STATISTICS) else ""
        for layer, weights in own.items()
    }


def _parts(name: str) -> list[str]:
    """Return the scopes of a variable and, at the end, its own name."""
    old = _KERAS_1.fullmatch(name) if "/" not in name else None
    return [old[1], old[2]] if old else name.split("/")


def _written_by_keras_3(meta: Any) -> bool:
    """Whether Keras 3 wrote it: by `model.export`, which serves an endpoint ``serve`` as well.

    What `tf.saved_model.save` writes of its models has children that no other Keras gives them.
    """
    children = {
        child.local_name for node in meta.object_graph_def.nodes[:1] for child in node.children
    }
    return "serve" in meta.signature_def or not children.isdisjoint(_OF_KERAS_3)
