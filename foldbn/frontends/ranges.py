"""What values an input is meant to take, as far as the graph tells.

An index is good for the rows of the tables that it looks up, and an input that is divided by 255
first is no number around 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foldbn.frontends.context import Context
from foldbn.frontends.frozen import FLOATS, FrozenModel, NodeDef, Port, node_of, readers_of

_SAME_NUMBERS = (
    *("Identity", "Reshape", "ExpandDims", "Squeeze", "Transpose", "Tile", "StridedSlice", "Slice"),
    *("Pack", "Unpack", "ConcatV2", "Split"),
)
_ANY_NUMBER = ("Equal", "NotEqual", "Greater", "GreaterEqual", "Less", "LessEqual", "Shape")
_SUMS = ("Add", "AddV2")
_FAR = 100.0  # deviations from zero to the mean: nearer to the mean all digits cancel
_INTEGERS = (3, 9)  # DT_INT32, DT_INT64


@dataclass(frozen=True)
class Range:
    """What is known of one input.

    Attributes:
        rows: of the smallest table that an integer input looks up, or 0: none, or nobody knows.
        scale: what a float input is multiplied by before anything else happens to it, one
            number or an array that broadcasts against one sample.
        shift: what is added then, likewise.
    """

    rows: int = 0
    scale: NDArray[Any] | float = 1.0
    shift: NDArray[Any] | float = 0.0

    @property
    def is_mapped(self) -> bool:
        """Whether scale or shift do anything."""
        return bool(np.any(self.scale != 1) or np.any(self.shift != 0))


def ranges_of(model: FrozenModel) -> dict[str, Range]:
    """Return what is known of each input of a model whose constants are folded, by its name."""
    readers, context = readers_of(model.graph_def), Context(model, {})
    return {
        port.name: _mapped(port, readers, context)
        if port.dtype in FLOATS
        else Range(rows=_rows(port, readers, context))
        for port in model.inputs
    }


def _rows(port: Port, readers: dict[str, list[NodeDef]], context: Context) -> int:
    rows: list[int] = []
    seen, waiting = {port.node}, [port.node]
    while waiting:
        name = waiting.pop()
        for reader in readers.get(name, []):
            cast = reader.op == "Cast" and reader.attr["DstT"].type in _INTEGERS
            if reader.op in _SAME_NUMBERS or cast or _is_chosen(name, reader):
                if reader.name not in seen:
                    seen.add(reader.name)
                    waiting.append(reader.name)
            elif reader.op == "GatherV2" and node_of(reader.input[1]) == name:
                found = _table(reader, context)
                if not found:
                    return 0
                rows.append(found)
            elif reader.op == "OneHot" and node_of(reader.input[0]) == name:
                depth = context.constant(reader.input[1])
                rows += [] if depth is None else [int(depth)]
            elif reader.op not in _ANY_NUMBER and not _counts_back(name, reader, readers):
                return 0
    return min(rows, default=0)


def _is_chosen(name: str, node: NodeDef) -> bool:
    return bool(node.op == "SelectV2" and node_of(node.input[2]) == name)


def _counts_back(name: str, node: NodeDef, readers: dict[str, list[NodeDef]]) -> bool:
    """Whether a sum is taken in the place of negative indices only, as Keras does."""
    return node.op in _SUMS and all(_is_chosen(name, each) for each in readers.get(node.name, []))


def _table(gather: NodeDef, context: Context) -> int:
    """Return how many rows a lookup can choose from, 0 where the table is computed."""
    table, axis = context.constant(gather.input[0]), context.constant(gather.input[2])
    return 0 if table is None or axis is None else int(table.shape[int(axis)])


def _mapped(port: Port, readers: dict[str, list[NodeDef]], context: Context) -> Range:
    scale: Any = 1.0
    shift: Any = 0.0
    name = port.node
    while len(found := readers.get(name, [])) == 1:
        (node,) = found
        left, right = (context.constant(source) for source in (*node.input[:2], "", "")[:2])
        number = right if left is None else left
        if node.op == "Mul" and number is not None:
            scale, shift = scale * number, shift * number
        elif node.op in _SUMS and number is not None:
            shift = shift + number
        elif node.op == "Sub" and right is not None:
            shift = shift - right
        elif node.op == "RealDiv" and right is not None:
            with np.errstate(divide="ignore"):
                scale, shift = scale / right, shift / right
        elif node.op != "Identity":
            break
        name = node.name
    scale, shift = np.asarray(scale), np.asarray(shift)
    length = len(port.shape)
    fits = all(
        each.ndim <= length and each.shape[: each.ndim + 1 - length] in ((), (1,))
        for each in (scale, shift)
    )
    usable = fits and np.isfinite(scale).all() and (scale != 0).all()
    if not usable or not (np.abs(shift) <= _FAR).all():
        return Range()
    return Range(scale=_of_sample(scale, length), shift=_of_sample(shift, length))


def _of_sample(value: NDArray[Any], rank: int) -> NDArray[Any]:
    """Return an array that broadcasts against a batch without the batch's axis."""
    return value.reshape(value.shape[1:]) if value.ndim == rank else value
