"""What values an input is meant to take, as far as the graph tells.

An index is good for the rows of the tables that it looks up, and an input that is divided by 255
first is no number around 1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foldbn.frontends.context import Context
from foldbn.frontends.frozen import FLOATS, FrozenModel, NodeDef, Port, readers_of
from foldbn.frontends.lookups import rows_of

_SUMS = ("Add", "AddV2")
_SPAN = 3.0
_FAR = 100.0  # deviations from zero to the mean: nearer to the mean all digits cancel


@dataclass(frozen=True)
class Range:
    """What is known of one input.

    Attributes:
        rows: of the smallest table that each number looks up, one number or an array that
            broadcasts against one sample; 0 where it looks up none, or nobody knows.
        scale: what a float input is multiplied by before anything else happens to it, one
            number or an array that broadcasts against one sample.
        shift: what is added then, likewise.
    """

    rows: NDArray[Any] | int = 0
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
        port.name: replace(
            _mapped(port, readers, context) if port.dtype in FLOATS else Range(),
            rows=rows_of(port, model, readers, context),
        )
        for port in model.inputs
    }


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
    known = Range(scale=np.where(told, scale, 1.0), shift=np.where(told, shift, 0.0))
    return known if known.is_mapped else Range()


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
