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
_SPAN = 3.0
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

    @property
    def span(self) -> NDArray[Any]:
        """How far from zero the numbers are after scale and shift, of their shape.

        Three deviations where they are scaled, and that holds [0, 1] and [-1, 1] as well. A
        mean that is subtracted alone tells of the numbers' size and not of their deviation:
        they may be anything from zero to twice the mean.
        """
        only_shifted = np.abs(self.scale) == 1
        return np.where(only_shifted, np.maximum(np.abs(self.shift), _SPAN), _SPAN)


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
    sample = port.shape[1:]
    scale, shift = _of_sample(np.asarray(scale), sample), _of_sample(np.asarray(shift), sample)
    if scale is None or shift is None:
        return Range()
    scale, shift = np.broadcast_arrays(scale, shift)
    told = np.isfinite(scale) & np.isfinite(shift) & (scale != 0)
    told &= (np.abs(shift) <= _FAR) | (np.abs(scale) == 1)
    found = Range(scale=np.where(told, scale, 1.0), shift=np.where(told, shift, 0.0))
    return found if found.is_mapped else Range()


def _of_sample(value: NDArray[Any], sample: tuple[int | None, ...]) -> NDArray[Any] | None:
    """Return an array that broadcasts against one sample, and does not widen it.

    Of what would widen a single channel, as of grey that becomes colours, the first part stands
    for all. Of a length that is open nobody knows whether it fits: None, as for other shapes.
    """
    if value.ndim == len(sample) + 1 and len(value) == 1:
        value = value[0]
    if value.ndim > len(sample):
        return None
    for axis in range(-value.ndim, 0):
        if sample[axis] == 1:
            value = value.take([0], axis)
        elif value.shape[axis] not in (1, sample[axis]):
            return None
    return value
