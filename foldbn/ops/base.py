"""What every op is, and the ops that are maps, shapes or walls."""

from __future__ import annotations

from dataclasses import dataclass

from foldbn.affine import Affine, Array

Size = tuple[int | None, ...]


class Op:
    """Base of every op."""

    @property
    def title(self) -> str:
        """What a person calls the op."""
        return type(self).__name__


@dataclass(frozen=True)
class Opaque(Op):
    """Any op without a rule: a wall.

    Attributes:
        kind: its framework's name for it.
        reason: a clause that says why nothing moves past it, where that is known.
    """

    kind: str
    reason: str = ""

    @property
    def title(self) -> str:
        """The framework's own name."""
        return self.kind


@dataclass(frozen=True)
class ShapeOf(Op):
    """Reads the shape of its input and none of its values."""


@dataclass(frozen=True, eq=False)
class AffineOp(Op):
    """``y = scale * x + shift``: BatchNormalization, Normalization, Rescaling, constant Mul."""

    affine: Affine

    @property
    def title(self) -> str:
        """The term of the field."""
        return "affine layer"


@dataclass(frozen=True, eq=False)
class Bias(Op):
    """``y = x + bias``: the bias of a layer that cannot hold it; bias has the sample's rank."""

    bias: Array
