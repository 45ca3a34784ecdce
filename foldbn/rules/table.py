"""What an op can do with an affine map, and the tables that say which op does what.

    backward:  A o f  ==  f' o (A1, ..., An)      the map moves to f's inputs
    forward:   f o (A1, ..., An)  ==  A' o f'     the maps move to f's output

A rule knows one op and nothing of the graph around it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from foldbn.affine import Affine
from foldbn.ops import Op, Opaque

Maps = tuple[Affine | None, ...]


@dataclass(frozen=True, eq=False)
class Absorbs:
    """The map is now part of `op`; the journey ends."""

    op: Op


@dataclass(frozen=True, eq=False)
class Passes:
    """The map moves on past `op`: one map for each port it leaves by, None for no map."""

    op: Op
    maps: Maps


@dataclass(frozen=True)
class Blocks:
    """The map cannot move past this op; `reason` is a clause that says why."""

    reason: str


Outcome = Absorbs | Passes | Blocks
OpT = TypeVar("OpT", bound=Op)
Rule = Callable[[OpT, Affine], Outcome]
JoinRule = Callable[[OpT, Maps], Outcome]


class Rules:
    """The rules of one direction, by type of op.

    Args:
        direction: names the table in messages.
    """

    def __init__(self, direction: str) -> None:
        self.direction = direction
        self._table: dict[type[Op], Callable[[Any, Any], Outcome]] = {}
        self._joins: set[type[Op]] = set()

    def __call__(self, op: Op, maps: Sequence[Affine | None]) -> Outcome:
        """Return what `op` does with the maps at its ports (backward: at its output).

        An op of one port gets its map alone; an op without a rule blocks.
        """
        kind = type(op)
        if kind not in self._table:
            told = op.reason if isinstance(op, Opaque) else ""
            return Blocks(told or f"no affine map can move past {op.title}")
        return self._table[kind](op, tuple(maps) if kind in self._joins else maps[0])

    def __contains__(self, kind: type[Op]) -> bool:
        return kind in self._table

    def rule(self, kind: type[OpT]) -> Callable[[Rule[OpT]], Rule[OpT]]:
        """Register the decorated function as the rule for `kind`, an op of one port."""
        return cast("Callable[[Rule[OpT]], Rule[OpT]]", self._register(kind))

    def join(self, kind: type[OpT]) -> Callable[[JoinRule[OpT]], JoinRule[OpT]]:
        """Register the decorated function for `kind`, an op of several ports."""
        self._joins.add(kind)
        return cast("Callable[[JoinRule[OpT]], JoinRule[OpT]]", self._register(kind))

    def _register(self, kind: type[Op]) -> Callable[[Callable[..., Outcome]], Any]:
        if kind in self._table:
            raise ValueError(f"{kind.__name__} already has a {self.direction} rule")

        def register(function: Callable[..., Outcome]) -> Callable[..., Outcome]:
            self._table[kind] = function
            return function

        return register


backward = Rules("backward")
forward = Rules("forward")
