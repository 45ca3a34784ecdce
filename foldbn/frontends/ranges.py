"""What values an input is meant to take, as far as the graph tells.

An index is good for the rows of the tables that it looks up, and an input that is divided by 255
first is no number around 1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from foldbn.errors import Unsupported
from foldbn.frontends.context import Context
from foldbn.frontends.frozen import FLOATS, FrozenModel, NodeDef, Port, readers_of
from foldbn.frontends.lookups import rows_of
from foldbn.frontends.positions import moves, positions, sample_of

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

    def after(self, places: NDArray[Any]) -> NDArray[Any]:
        """Return numbers as they are after scale and shift, from `places` between -1 and 1.

        They are spread over the span to both sides of zero. What is scaled and not shifted, as
        pixels by 1/255 are, is from zero to one unit, of inputs that are not negative.
        """
        only_scaled = (np.abs(self.scale) != 1) & (self.shift == 0)
        one_side = np.abs(places) * np.sign(self.scale)
        return np.asarray(np.where(only_scaled, one_side, places * self.span))


def ranges_of(model: FrozenModel) -> dict[str, Range]:
    """Return what is known of each input of a model whose constants are folded, by its name."""
    readers, context = readers_of(model.graph_def), Context(model, {})
    return {
        port.name: replace(
            _mapped(port, model, readers, context) if port.dtype in FLOATS else Range(),
            rows=rows_of(port, model, readers, context),
        )
        for port in model.inputs
    }


def _mapped(
    port: Port, model: FrozenModel, readers: dict[str, list[NodeDef]], context: Context
) -> Range:
    scale, shift, moved = _first_map(port, readers, context)
    if moved is None:
        sample = port.shape[1:]
        scale, shift = _of_sample(scale, sample), _of_sample(shift, sample)
    elif (scale != 1).any() or (shift != 0).any():
        scale, shift = _moved_back(scale, shift, moved, port, model)
    if scale is None or shift is None:
        return Range()
    scale, shift = np.broadcast_arrays(scale, shift)
    told = np.isfinite(scale) & np.isfinite(shift) & (scale != 0)
    told &= (np.abs(shift) <= _FAR) | (np.abs(scale) == 1)
    known = Range(scale=np.where(told, scale, 1.0), shift=np.where(told, shift, 0.0))
    return known if known.is_mapped else Range()


def _first_map(
    port: Port, readers: dict[str, list[NodeDef]], context: Context
) -> tuple[Any, Any, str | None]:
    """Return the scale and shift of an input, and the tensor that they act on if it was moved."""
    scale, shift = np.ones(()), np.zeros(())
    name = start = _moved_to(port, readers)
    while len(found := readers.get(name, [])) == 1:
        (node,) = found
        left, right = (context.constant(source) for source in (*node.input[:2], "", "")[:2])
        number = right if left is None else left
        if node.op == "Mul" and number is not None:
            scale, shift = scale * number, shift * number
        elif _is_sum(node) and number is not None:
            shift = shift + number
        elif node.op == "Sub" and right is not None:
            shift = shift - right
        elif node.op == "RealDiv" and right is not None:
            with np.errstate(divide="ignore"):
                scale, shift = scale / right, shift / right
        elif node.op != "Identity":
            break
        name = node.name
    return scale, shift, None if start == port.node else start


def _moved_to(port: Port, readers: dict[str, list[NodeDef]]) -> str:
    """Return the tensor that an input is as a whole moved to before anything is computed.

    The input itself where it is not, or where several tensors have parts of it.
    """
    ends: set[str] = set()
    seen, waiting = {port.node}, [port.node]
    while waiting:
        name = waiting.pop()
        for reader in readers.get(name, []):
            if not moves(name, reader):
                ends.add(name)
            elif reader.name not in seen:
                seen.add(reader.name)
                waiting.append(reader.name)
    return ends.pop() if len(ends) == 1 else port.node


def _is_sum(node: NodeDef) -> bool:
    bias = node.op == "BiasAdd" and node.attr["data_format"].s != b"NCHW"
    return bool(node.op in _SUMS or bias)


def _moved_back(
    scale: NDArray[Any], shift: NDArray[Any], moved: str, port: Port, model: FrozenModel
) -> tuple[NDArray[Any] | None, NDArray[Any] | None]:
    """Return a map of a tensor that an input was moved to, as one of the input itself.

    None where it widens the tensor, or is another one along an open length.
    """
    try:
        (places,) = positions(port, model, [moved])
        scale, shift = (np.broadcast_to(each, places.shape) for each in (scale, shift))
    except (Unsupported, ValueError):  # the second one from NumPy
        return None, None
    there = places >= 0
    back = np.ones(sample_of(port)), np.zeros(sample_of(port))
    for each, own in zip(back, (scale, shift), strict=True):
        each.flat[places[there]] = own[there]
    for axis, length in enumerate(port.shape[1:]):
        if length is None:
            first = tuple(each.take([0], axis) for each in back)
            if any((each != one).any() for each, one in zip(back, first, strict=True)):
                return None, None
            back = first[0], first[1]
    return back


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
