"""Windows and biases whose channels come first, which TFLite has no op for, with them last."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from foldbn.frontends.channels_last import channels_last, refuse_open_grids
from foldbn.frontends.frozen import FrozenModel, NodeDef, add_constant, empty_like, tensor_name
from foldbn.frontends.precision import GraphRunner

_INT32 = 3  # DT_INT32


def with_channels_last(model: FrozenModel) -> FrozenModel:
    """Return `model` with the channel last in every op that has a window.

    A bias that is added to something else becomes an addition: ``x[N, C, ...] + b[C, 1, ...]``.

    Raises:
        ConversionFailed: a dilated convolution has images of open lengths.
    """
    refuse_open_grids(model.graph_def)
    graph_def = channels_last(model.graph_def)
    biases = [
        node
        for node in graph_def.node
        if node.op == "BiasAdd" and node.attr["data_format"].s == b"NCHW"
    ]
    ranks = _ranks_of(model, biases) if biases else {}
    result = empty_like(graph_def)
    for node in graph_def.node:
        copy = result.node.add()
        copy.CopyFrom(node)
        if not ranks.get(node.name):
            continue
        shape = np.array([-1, *[1] * (ranks[node.name] - 2)], np.int32)
        # tf.nn.bias_add calls a constant of its own "<name>/bias".
        prefix = f"{node.name}/written_out"
        form = add_constant(result, f"{prefix}/shape", shape).name
        wide = result.node.add(name=f"{prefix}/bias", op="Reshape", input=[node.input[1], form])
        wide.attr["T"].CopyFrom(node.attr["T"])
        wide.attr["Tshape"].type = _INT32
        copy.op, copy.input[1] = "AddV2", wide.name
        del copy.attr["data_format"]
    return replace(model, graph_def=result)


def _ranks_of(model: FrozenModel, biases: list[NodeDef]) -> dict[str, int]:
    """Return the rank of what each bias is added to, 0 where it is not known."""
    runner = GraphRunner(model)
    return {node.name: len(runner.shape_of(tensor_name(node.input[0])) or ()) for node in biases}
