"""Which numbers of an input a tensor is made of, where they are moved and never computed with.

TensorFlow itself tells, whatever slices, transpositions and casts are on the way: it is fed with
the bits of the numbers' positions, one sample for each bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from foldbn.bounds import UNKNOWN_LENGTH
from foldbn.frontends.frozen import FrozenModel, NodeDef, Port, node_of, prune
from foldbn.frontends.precision import GraphRunner

_MOVES = (
    *("Reshape", "ExpandDims", "Squeeze", "Transpose", "StridedSlice", "Slice", "ReverseV2"),
    *("Tile", "Pack", "Unpack", "ConcatV2", "Split", "SplitV", "BroadcastTo"),
    *("Pad", "PadV2", "MirrorPad"),
)


def moves(name: str, reader: NodeDef) -> bool:
    """Whether a node only gives the numbers of another, which it reads, other places."""
    picks = reader.op == "GatherV2" and node_of(reader.input[1]) != name
    return bool(reader.op in _MOVES or picks)


def sample_of(port: Port) -> tuple[int, ...]:
    """Return the shape of one sample, with 32 for lengths that are open."""
    return tuple(length or UNKNOWN_LENGTH for length in port.shape[1:])


def positions(port: Port, model: FrozenModel, tensors: Sequence[str]) -> list[NDArray[np.int64]]:
    """Return for each tensor, batch first, where in one sample its numbers come from.

    Args:
        port: the input.
        model: that has it.
        tensors: of its graph.

    Returns:
        Positions in the flattened sample, and -1 for what comes from elsewhere.

    Raises:
        Unsupported: the model does not take the lengths that are tried.
    """
    nodes = tuple(dict.fromkeys(map(node_of, tensors)))
    runner = GraphRunner(replace(model, graph_def=prune(model.graph_def, nodes)))
    batch = model.batch_size or 1
    others = {each.node: np.zeros((batch, *sample_of(each)), each.dtype) for each in model.inputs}
    sample = sample_of(port)
    codes = np.arange(1, int(np.prod(sample)) + 1).reshape(sample)  # 0 is what does not vary

    def run(bits: NDArray[np.int64]) -> list[NDArray[np.generic]]:
        fed = np.broadcast_to(bits, (batch, *sample)).astype(port.dtype)
        return runner.run(list(tensors), others | {port.node: fed})

    resting = run(0 * codes)
    found = [np.full(each.shape, -1) for each in resting]
    # Of each bit in turn, for together they are as many batches of inputs.
    for place in range(int(codes.max()).bit_length()):
        now = run(codes >> place & 1)
        for index, (before, bits) in enumerate(zip(resting, now, strict=True)):
            found[index] += (bits != before).astype(np.int64) << place
    return found
