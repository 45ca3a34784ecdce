"""Read a SavedModel of any TensorFlow and freeze one of its signatures.

A SavedModel is a graph, a table of signatures and a checkpoint; foldbn takes these three and
leaves the objects aside that newer TensorFlows wrote beside them. So the slots of an optimizer
that no longer exists, or a variable that cannot be lifted out of its graph, do not matter, and
neither the restore op nor the init op is run.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from foldbn.errors import Unsupported, UsageError
from foldbn.frontends.checkpoint import read_variables
from foldbn.frontends.composites import composite_inputs
from foldbn.frontends.freezing import Named, freeze_graph
from foldbn.frontends.frozen import DEFAULT_SIGNATURE, FrozenModel, GraphDef, node_of
from foldbn.frontends.saved_layers import layers_of, parted_by_readers, variable_name
from foldbn.frontends.saved_model_repairs import repaired
from foldbn.frontends.variables import REFERENCES

_RESERVED = "__saved_model_"
_SERVING = "serve"


def load(path: Path, proto: Any, signature: str | None) -> FrozenModel:
    """Return one signature of a SavedModel as a frozen graph.

    Args:
        path: the SavedModel's directory.
        proto: what `safety.read_checked` says is in it.
        signature: which one; None takes ``serving_default``, or the only one.

    Raises:
        Unreadable: the variables are missing or damaged.
        Unsupported: it has no signature, or several and none is chosen; or foldbn cannot take it.
        UsageError: it has no signature of that name.
    """
    meta = _meta_graph(proto, path)
    return load_signature(path, meta, _choose(meta, signature, path))


def load_signature(path: Path, meta: Any, name: str) -> FrozenModel:
    """Return one signature of a MetaGraphDef, whose checkpoint is in the directory `path`."""
    chosen = meta.signature_def[name]
    others = [other for other in _names(meta) if other != name]
    if parts := composite_inputs(meta, name):
        raise _not_dense("input", *parts[0], others)
    inputs = _in_graph_order(_ports(chosen.inputs, "input", others), meta.graph_def)
    outputs = _ports(chosen.outputs, "output", others)
    graph_def, inputs = repaired(meta.graph_def, inputs, outputs)
    handles = {n.name: n for n in graph_def.node if n.op in ("VarHandleOp", *REFERENCES)}
    values = read_variables(path, handles, meta)
    names = {node.name: variable_name(node) for node in handles.values()}
    layers = layers_of(names, meta)
    model = freeze_graph(graph_def, inputs, outputs, values, layers)
    return replace(model, layers=parted_by_readers(model, names), signature=name)


def _meta_graph(proto: Any, path: Path) -> Any:
    """Return the graph to be served, of the several that TensorFlow 1 could write."""
    tagged = [(set(meta.meta_info_def.tags), meta) for meta in proto.meta_graphs]
    serving = [meta for tags, meta in tagged if _SERVING in tags]
    plain = [meta for tags, meta in tagged if tags == {_SERVING}]
    found = plain or serving or ([tagged[0][1]] if len(tagged) == 1 else [])
    if not found:
        listed = ", ".join(repr(",".join(sorted(tags))) for tags, _ in tagged)
        raise Unsupported(
            f"{str(path)!r} has several graphs, none of them tagged {_SERVING!r}: {listed}",
            "export the model with tf.saved_model.tag_constants.SERVING",
        )
    return found[0]


def _choose(meta: Any, wanted: str | None, path: Path) -> str:
    names = _names(meta)
    listed = ", ".join(repr(name) for name in names)
    if not names:
        raise Unsupported(
            f"{str(path)!r} has no signatures",
            "save it with tf.saved_model.save(model, path, signatures=...)",
        )
    if wanted is not None:
        if wanted not in names:
            raise UsageError(f"there is no signature {wanted!r}; there are {listed}")
        return wanted
    if DEFAULT_SIGNATURE in names:
        return DEFAULT_SIGNATURE
    if len(names) > 1:
        raise Unsupported(f"there are several signatures: {listed}", "choose with --signature")
    return str(names[0])


def _names(meta: Any) -> list[str]:
    return sorted(name for name in meta.signature_def if not name.startswith(_RESERVED))


def _not_dense(what: str, name: str, kind: str, others: list[str]) -> Unsupported:
    listed = ", ".join(repr(other) for other in others)
    return Unsupported(
        f"the {what} {name!r} is a {kind} tensor, not a dense one",
        "foldbn takes models of dense numbers: export one"
        + (f", or choose with --signature: there are {listed}" if others else ""),
    )


def _ports(ports: Any, what: str, others: list[str]) -> list[Named]:
    """Return the tensors of a signature's inputs or outputs, in the order of their names."""
    found = []
    for name, port in sorted(ports.items()):
        if port.WhichOneof("encoding") != "name":
            kind = "sparse" if port.HasField("coo_sparse") else "ragged"
            raise _not_dense(what, name, kind, others)
        found.append(Named(name, port.name, port.dtype, _shape(port.tensor_shape)))
    return found


def _shape(shape: Any) -> tuple[int | None, ...] | None:
    lengths = (dim.size for dim in shape.dim)
    return None if shape.unknown_rank else tuple(None if n < 0 else n for n in lengths)


def _in_graph_order(ports: list[Named], graph_def: GraphDef) -> list[Named]:
    """Return inputs as the model declares them; the table of a signature has no order."""
    places = {node.name: place for place, node in enumerate(graph_def.node)}
    return sorted(ports, key=lambda port: places.get(node_of(port.tensor), 0))


def signatures_of(proto: Any) -> list[str]:
    """Return the names of a SavedModel's signatures; TensorFlow's own have a reserved prefix."""
    names = {name for graph in proto.meta_graphs for name in graph.signature_def}
    return sorted(name for name in names if not name.startswith(_RESERVED))


def writer_of(proto: Any) -> str | None:
    """Return the TensorFlow version that a SavedModel names, like ``tensorflow 2.15.0``."""
    versions = [graph.meta_info_def.tensorflow_version for graph in proto.meta_graphs]
    return f"tensorflow {versions[0]}" if versions and versions[0] else None
