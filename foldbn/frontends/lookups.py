"""Which rows of tables an input chooses, number by number.

One column of an input may look up four rows and the next a thousand.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foldbn.errors import Unsupported
from foldbn.frontends.context import Context
from foldbn.frontends.frozen import FLOATS, FrozenModel, NodeDef, Port, node_of, tensor_name
from foldbn.frontends.positions import moves, positions, sample_of

_ANY_NUMBER = ("Equal", "NotEqual", "Greater", "GreaterEqual", "Less", "LessEqual", "Shape")
_SUMS = ("Add", "AddV2")
_CAST_TO = (1, 2, 3, 9)  # DT_FLOAT, DT_DOUBLE, DT_INT32, DT_INT64: whole numbers stay the same


@dataclass(frozen=True)
class _Use:
    """One reading of an input's numbers.

    Attributes:
        tensor: that is read.
        rows: of the table that it looks up, or 0: something is computed with the number.
    """

    tensor: str
    rows: int


def rows_of(
    port: Port, model: FrozenModel, readers: dict[str, list[NodeDef]], context: Context
) -> int | NDArray[Any]:
    """Return how many rows each number of an input may choose from, and 0: no table, or unknown.

    Of several tables the smallest counts. A whole number that something else is computed with may
    choose nothing, for nobody knows what is good for that.

    Args:
        port: the input.
        model: whose constants are folded.
        readers: of each of its nodes.
        context: of the model.

    Returns:
        One number, or an array that broadcasts against one sample; 1 along open lengths.
    """
    uses, moved = _uses(port, readers, context)
    if port.dtype in FLOATS:
        uses = [use for use in uses if use.rows]
    if not uses or not any(use.rows for use in uses):
        return 0
    least = min(use.rows for use in uses)
    if not moved:
        return least
    try:
        return _by_position(port, model, uses)
    except Unsupported:  # lengths that the model does not take
        return least


def _uses(
    port: Port, readers: dict[str, list[NodeDef]], context: Context
) -> tuple[list[_Use], bool]:
    """Return all readings of an input, and whether some see other places or parts of it."""
    uses: list[_Use] = []
    moved = False
    seen, waiting = {port.node}, [port.node]
    while waiting:
        name = waiting.pop()
        for reader in readers.get(name, []):
            cast = reader.op == "Cast" and reader.attr["DstT"].type in _CAST_TO
            goes = moves(name, reader)
            if goes or cast or reader.op == "Identity" or _is_chosen(name, reader):
                moved |= goes
                if reader.name not in seen:
                    seen.add(reader.name)
                    waiting.append(reader.name)
            else:
                uses += _use(name, reader, readers, context)
    return uses, moved


def _use(
    name: str, reader: NodeDef, readers: dict[str, list[NodeDef]], context: Context
) -> Iterator[_Use]:
    """Yield what one node does with the numbers of another, nothing where any will do."""
    if reader.op in _ANY_NUMBER or _counts_back(name, reader, readers):
        return
    rows = 0
    if reader.op == "GatherV2":
        rows = _table(reader, context)
    elif reader.op == "OneHot" and node_of(reader.input[0]) == name:
        depth = context.constant(reader.input[1])
        rows = 0 if depth is None else int(depth)
    for source in reader.input:
        if node_of(source) == name:
            yield _Use(tensor_name(source), rows)


def _is_chosen(name: str, node: NodeDef) -> bool:
    return bool(node.op == "SelectV2" and node_of(node.input[2]) == name)


def _counts_back(name: str, node: NodeDef, readers: dict[str, list[NodeDef]]) -> bool:
    """Whether a sum is taken in the place of negative indices only, as Keras does."""
    return node.op in _SUMS and all(_is_chosen(name, each) for each in readers.get(node.name, []))


def _table(gather: NodeDef, context: Context) -> int:
    """Return how many rows a lookup can choose from, 0 where the table is computed."""
    table, axis = context.constant(gather.input[0]), context.constant(gather.input[2])
    return 0 if table is None or axis is None else int(table.shape[int(axis)])


def _by_position(port: Port, model: FrozenModel, uses: list[_Use]) -> NDArray[Any]:
    """Return the rows for each number of a sample.

    Raises:
        Unsupported: the model does not take the lengths that are tried.
    """
    none = np.iinfo(np.int64).max
    rows = np.full(sample_of(port), none)
    found = positions(port, model, [use.tensor for use in uses])
    for use, places in zip(uses, found, strict=True):
        seen = places[places >= 0]
        rows.flat[seen] = np.minimum(rows.flat[seen], use.rows)
    for axis, length in enumerate(port.shape[1:]):
        if length is None:
            rows = rows.min(axis, keepdims=True)
    return np.where(rows == none, 0, rows)
