"""Find the place of each stored weight by its name, and otherwise by its position.

A name is ``dense_1/kernel:0`` in Keras 2, ``dense_1_W:0`` in Keras 1, with scopes in front and
numbers behind. Two weights of one shape in the wrong order would go unnoticed, so names that say
something else than the position are never ignored.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from foldbn.errors import Unsupported

# Names of old Keras and the names that Keras 3 has for the same weights.
_SYNONYMS = {
    "W": "kernel",
    "U": "recurrent_kernel",
    "b": "bias",
    "alphas": "alpha",
    "running_mean": "moving_mean",
    "running_std": "moving_variance",  # it holds a variance, whatever it is called
}
_ALIKE = ({"kernel", "depthwise_kernel", "embeddings"},)
_KNOWN = {
    *_SYNONYMS.values(),
    *("beta", "count", "depthwise_kernel", "embeddings", "gamma", "mean", "pointwise_kernel"),
    *("scale", "variance"),
}
# Training alone reads these: BatchNormalization's renorm, and states of random numbers.
_BOOKKEEPING = re.compile(
    r"(moving_stddev|renorm_\w+|StateVar|seed_generator_state|random_seed\w*)(_\d+)?(:\d+)?$"
)


@dataclass(frozen=True)
class Stored:
    """A weight in the file.

    Attributes:
        name: as the file has it.
        value: its numbers.
    """

    name: str
    value: NDArray[Any]

    @property
    def path(self) -> list[str]:
        """The scopes of the name and what stands behind them."""
        return self.name.partition(":")[0].split("/")

    @property
    def kind(self) -> str:
        """What the weight is, by Keras 3's name for it."""
        last = self.path[-1]
        if last not in _KNOWN:  # a graph that holds the layer twice numbers its weights
            last = re.sub(r"_\d+$", "", last)
        for old in sorted({*_SYNONYMS, *_KNOWN}, key=len, reverse=True):
            if last == old or last.endswith(f"_{old}"):
                return _SYNONYMS.get(old, old)
        return last


def is_bookkeeping(name: str) -> bool:
    """Whether a weight of this name has no influence at inference."""
    return bool(_BOOKKEEPING.search(name.rpartition("/")[2]))


def by_layer_name(stored: list[Stored], names: list[str]) -> list[list[Stored]] | None:
    """Return the weights of each layer of a nested model, if their names tell all of them.

    Args:
        stored: all weights of the model.
        names: of its layers that have weights.
    """
    if len(set(names)) < len(names):
        return None
    shares: dict[str, list[Stored]] = {name: [] for name in names}
    for weight in stored:
        owner = _owner(weight, names)
        if owner is None:
            return None
        shares[owner].append(weight)
    return list(shares.values()) if all(shares.values()) else None


def _owner(weight: Stored, names: list[str]) -> str | None:
    """Return the layer that a name mentions: its innermost scope, or in Keras 1 its beginning."""
    scopes = weight.path[:-1]
    if scopes:
        whole = "/".join(scopes)
        nested = [name for name in names if "/" in name and f"/{name}/" in f"/{whole}/"]
        return next((scope for scope in [*reversed(scopes), *nested] if scope in {*names}), None)
    found = [name for name in names if weight.path[-1].startswith(f"{name}_")]
    return max(found, key=len, default=None)


def by_position(stored: list[Stored], layers: list[Any], source: str) -> list[list[Stored]]:
    """Return the weights of each layer of a nested model by the order that Keras writes.

    Raises:
        Unsupported: there are more or fewer than the layers take.
    """
    trainable = [len(layer.trainable_weights) for layer in layers]
    fixed = [len(layer.non_trainable_weights) for layer in layers]
    if len(stored) != sum(trainable) + sum(fixed):
        raise Unsupported(
            f"{source!r} has {len(stored)} weights for the layers {layers[0].name!r} to"
            f" {layers[-1].name!r}, which take {sum(trainable) + sum(fixed)}"
        )
    rest = list(stored)
    shares: list[list[Stored]] = [[] for _ in layers]
    for counts in (trainable, fixed):
        for share, count in zip(shares, counts, strict=True):
            share.extend(rest[:count])
            del rest[:count]
    return shares


def in_order_of(
    weights: list[Any], stored: list[Stored], place: str, *, custom: bool
) -> list[Stored]:
    """Return the stored weights of one layer in the order of the layer's own.

    Args:
        weights: variables of the layer.
        stored: as many, in the order of the file.
        place: the layer, for messages.
        custom: whether the user has defined it, who may name its weights otherwise now.

    Raises:
        Unsupported: the names say that they are others.
    """
    wanted = [weight.name for weight in weights]
    kinds = [each.kind for each in stored]
    if all(_alike(a, b) for a, b in zip(wanted, kinds, strict=True)):
        return stored
    if Counter(wanted) == Counter(kinds) and len(set(kinds)) == len(kinds):
        return [stored[kinds.index(name)] for name in wanted]
    told = {*wanted} <= _KNOWN and {*kinds} <= _KNOWN
    if told and not custom:
        raise Unsupported(
            f"the file has the weights {', '.join(kinds)} for {place}, which takes"
            f" {', '.join(wanted)}"
        )
    return stored


def _alike(one: str, other: str) -> bool:
    return one == other or any({one, other} <= names for names in _ALIKE)
