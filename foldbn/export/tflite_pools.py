"""Pooling of volumes, which TFLite has no op for, as pooling of planes."""

from __future__ import annotations

from dataclasses import replace

from foldbn.frontends.frozen import FrozenModel, empty_like
from foldbn.frontends.written_out import write_out_pool

_OF_VOLUMES = ("AvgPool3D", "MaxPool3D")


def with_pools_of_planes(model: FrozenModel) -> FrozenModel:
    """Return `model` with each pooling of volumes as two poolings of planes between reshapes."""
    if not any(node.op in _OF_VOLUMES for node in model.graph_def.node):
        return model
    graph_def = empty_like(model.graph_def)
    for node in model.graph_def.node:
        if node.op in _OF_VOLUMES:
            write_out_pool(graph_def, node, "float32")
        else:
            graph_def.node.add().CopyFrom(node)
    return replace(model, graph_def=graph_def)
