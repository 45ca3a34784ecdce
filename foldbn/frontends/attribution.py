"""Name the layer that a node of a frozen graph belongs to."""

from __future__ import annotations

import re
from dataclasses import dataclass

from foldbn.frontends.frozen import Layers, NodeDef, node_of

AFFINE_KINDS = ("BatchNormalization", "Normalization", "Rescaling")
_WRAPPERS = re.compile(r"(Stateful)?PartitionedCall(_\d+)?")
_NUMBERED = re.compile(r"_\d+$")


@dataclass(frozen=True)
class Owner:
    """The layer of a node.

    Attributes:
        layer: its name, or the node's own where no layer is known.
        kind: its class; empty where it is not known.
        by_variable: whether a variable of the layer says so, not just a name scope.
        known: whether the model has a layer of this name.
        scope: the name scope around the node, of an unknown layer; empty for a bare op.
    """

    layer: str
    kind: str
    by_variable: bool
    known: bool
    scope: str = ""


def owner_of(node: NodeDef, layers: Layers) -> Owner:
    """Return the layer that `node` belongs to: by its weights, otherwise by its name scope."""
    for source in node.input:
        layer = layers.variables.get(node_of(source))
        if layer is not None:
            return Owner(
                _shown(layer, layers), layers.classes.get(layer, ""), by_variable=True, known=True
            )
    scopes = [part for part in node.name.split("/") if not _WRAPPERS.fullmatch(part)]
    for scope in reversed(scopes[:-1]):
        for name in candidates(scope, suffixed=layers.suffixed):
            if name in layers.classes:
                return Owner(
                    _shown(name, layers), layers.classes[name], by_variable=False, known=True
                )
    # Below the model's own scope stands the layer's; a bare op stands for itself.
    guess = scopes[1] if len(scopes) > 2 else scopes[-1]
    guess = candidates(guess, suffixed=layers.suffixed)[0] if layers.suffixed else guess
    scope = "/".join(scopes[:-1]) if len(scopes) > 2 else ""
    return Owner(guess, "", by_variable=False, known=False, scope=scope)


def _shown(layer: str, layers: Layers) -> str:
    """Return the name that a layer has in the model's file."""
    return layers.originals.get(layer, layer)


def candidates(scope: str, *, suffixed: bool) -> tuple[str, str]:
    """Return the names of layers that a part of a node's name may stand for, the likelier first."""
    plain = _NUMBERED.sub("", scope)
    return (plain, scope) if suffixed else (scope, plain)
