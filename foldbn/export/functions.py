"""Write functions that a format lacks, or computes badly, in those that it has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from foldbn.frontends.frozen import FrozenModel, GraphDef, NodeDef, add_constant, empty_like

Writer = Callable[[GraphDef, NodeDef], None]


def written_out(model: FrozenModel, writers: Mapping[str, Writer]) -> FrozenModel:
    """Return a float32 model with each node of a kind that has a writer as that writes it."""
    graph_def = empty_like(model.graph_def)
    for node in model.graph_def.node:
        write = writers.get(node.op)
        if write is None:
            graph_def.node.add().CopyFrom(node)
        else:
            write(graph_def, node)
    return replace(model, graph_def=graph_def)


def constant(graph_def: GraphDef, like: NodeDef, part: str, value: float) -> str:
    """Add a number for a node; return its name."""
    return str(add_constant(graph_def, f"{like.name}/{part}", np.array(value, np.float32)).name)


def add(graph_def: GraphDef, like: NodeDef, part: str, kind: str, *inputs: str) -> str:
    """Add a node for a part of `like`, by its own name for the last; return the name."""
    name = f"{like.name}/{part}" if part else like.name
    node = graph_def.node.add(name=name, op=kind, input=inputs)
    node.attr["T"].CopyFrom(like.attr["T"])
    return name
