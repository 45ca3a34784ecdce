"""Damage model files in ways that get past their outermost check, each from a seed.

`damage` changes a valid file or SavedModel directory in place: bytes (flips, truncation,
splices, exchanged blocks, edited lengths), JSON inside HDF5 attributes and zip members that are
packed validly again, and fields of protobufs and flatbuffers.
"""

from __future__ import annotations

import io
import json
import random
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fuzz_changes import BYTES, TEXTS, edit_json, edit_message, edit_table


def damage_bytes(path: Path, rng: random.Random) -> None:
    """Damage a file as it lies there, once or twice."""
    content = path.read_bytes()
    for _ in range(rng.choice([1, 1, 2])):
        content = rng.choice(BYTES)(content, rng) or b"\0" * 16
    path.write_bytes(content)


def _edited(text: str | bytes, rng: random.Random) -> str:
    if rng.random() < 0.15:
        content = text.encode() if isinstance(text, str) else text
        return rng.choice(BYTES)(content, rng).decode(errors="replace").replace("\0", " ")
    return json.dumps(edit_json(json.loads(text), rng))


def damage_hdf5(path: Path, rng: random.Random) -> None:
    """Edit the configuration, another attribute, or a weight of an HDF5 file."""
    import h5py

    with h5py.File(path, "r+") as file:
        kind = rng.randrange(10)
        if kind < 6 and "model_config" in file.attrs:
            file.attrs["model_config"] = _edited(file.attrs["model_config"], rng)
            return
        found: list[Any] = []
        file.visititems(lambda _name, item: found.append(item))
        item = rng.choice(found)
        if kind < 8 and len(item.attrs):
            name = rng.choice(sorted(item.attrs))
            item.attrs[name] = rng.choice([*TEXTS[:5], 7, [b"x", b"y"], [1.5] * 20])
            return
        name, parent = item.name, item.parent
        shape = getattr(item, "shape", None)
        del file[name]
        if shape is not None:
            new = rng.choice(
                [(*shape, 2), shape[1:], shape[::-1], (0,), tuple(n + 1 for n in shape)]
            )
            dtype = rng.choice(["f4", "f8", "i8", "f2", "S5"])
            parent.create_dataset(name, new, dtype, fillvalue=b"" if dtype == "S5" else 1)


def damage_zip(path: Path, rng: random.Random) -> None:
    """Edit, damage, drop or add a member of a .keras archive, and pack it validly again."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    kind = rng.randrange(10)
    name = rng.choice(sorted(members))
    if kind < 5:
        members["config.json"] = _edited(members["config.json"], rng).encode(errors="replace")
    elif kind < 6:
        members["metadata.json"] = _edited(members["metadata.json"], rng).encode(errors="replace")
    elif kind < 8:
        weights = path.with_name("weights.h5")
        weights.write_bytes(members["model.weights.h5"])
        rng.choice([damage_hdf5, damage_bytes])(weights, rng)
        members["model.weights.h5"] = weights.read_bytes()
        weights.unlink()
    elif kind == 8:
        members[rng.choice(["../x", "assets/x", "config.json/x", "\x1b[1m", name])] = members.pop(
            name
        )
    else:
        members[name] = rng.choice(BYTES)(members[name], rng)
    packed = io.BytesIO()
    method = rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
    with zipfile.ZipFile(packed, "w", method) as archive:
        for member, content in members.items():
            archive.writestr(zipfile.ZipInfo(member, (1980, 1, 1, 0, 0, 0)), content, method)
    path.write_bytes(packed.getvalue())


def damage_onnx(path: Path, rng: random.Random) -> None:
    """Edit fields of an ONNX file, or have a weight lie in another file."""
    import onnx

    proto = onnx.load_from_string(path.read_bytes())
    if rng.random() < 0.1:
        tensor = rng.choice(proto.graph.initializer)
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        where = rng.choice(["../../etc/passwd", "/etc/passwd", "missing.bin", path.name, ""])
        tensor.external_data.add(key="location", value=where)
        tensor.external_data.add(key="length", value=rng.choice(["4", "-1", "99999999999", "x"]))
    else:
        for _ in range(rng.choice([1, 1, 2, 3])):
            edit_message(proto, rng)
    path.write_bytes(proto.SerializePartialToString())


def damage_tflite(path: Path, rng: random.Random) -> None:
    """Edit fields of a TFLite file, or numbers in its tables."""
    if rng.random() < 0.6:
        import flatbuffers
        from tensorflow.lite.python import schema_py_generated as schema

        model = schema.ModelT.InitFromPackedBuf(path.read_bytes())
        for _ in range(rng.choice([1, 1, 2, 3])):
            edit_table(model, rng)
        builder = flatbuffers.Builder(0)
        builder.Finish(model.Pack(builder), b"TFL3")
        path.write_bytes(bytes(builder.Output()))
        return
    content = bytearray(path.read_bytes())
    for _ in range(rng.choice([1, 2, 4])):
        place = rng.randrange(len(content) // 4) * 4
        if rng.random() < 0.8:  # the tables of a small file stand at its ends
            place = rng.choice([place % 1024, len(content) - 4 - place % 2048]) // 4 * 4
        (value,) = struct.unpack_from("<I", content, place)
        new = rng.choice([0, 1, 2, value + 1, value + 4, value - 4, 2**31, 2**32 - 1, 2**20])
        struct.pack_into("<I", content, place, new % 2**32)
    path.write_bytes(bytes(content))


def damage_saved_model(path: Path, rng: random.Random) -> None:
    """Edit the graph of a SavedModel, or damage or remove one of its files."""
    from tensorflow.core.protobuf import saved_model_pb2

    file = path / "saved_model.pb"
    kind = rng.randrange(10)
    if kind < 6:
        proto = saved_model_pb2.SavedModel()
        proto.ParseFromString(file.read_bytes())
        graph = proto.meta_graphs[0].graph_def
        functions = [each for each in graph.library.function if each.node_def]
        nodes = [node for each in functions for node in each.node_def] + list(graph.node)
        targets = [proto, proto.meta_graphs[0], rng.choice(nodes), rng.choice(nodes)]
        for _ in range(rng.choice([1, 1, 2])):
            edit_message(rng.choice(targets), rng)
        file.write_bytes(proto.SerializePartialToString())
        return
    victim = rng.choice(sorted(each for each in path.rglob("*") if each.is_file()))
    if kind == 6:
        victim.unlink()
    else:
        damage_bytes(file if kind == 7 else victim, rng)


Damage = Callable[[Path, random.Random], None]
SPECIFIC: dict[str, Damage] = {
    "h5": damage_hdf5,
    "keras": damage_zip,
    "savedmodel": damage_saved_model,
    "onnx": damage_onnx,
    "tflite": damage_tflite,
}


def damage(path: Path, kind: str, rng: random.Random) -> str:
    """Damage a model in place; return in which way.

    Args:
        path: of a valid model that may be spoiled.
        kind: its format.
        rng: decides on everything.
    """
    if path.is_file() and rng.random() < 0.4:
        damage_bytes(path, rng)
        return "bytes"
    SPECIFIC[kind](path, rng)
    return "structure"
