"""Make the files that `benchmark` times: each network as every tool writes it.

A file that is there already is made again only where what it comes from has changed: a note
beside it keeps a digest of that, and how many nodes of each type the file has. Run as a program
it makes the files of one network; it is started so by `benchmark`, which itself loads neither
Keras nor TensorFlow.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterable
from functools import cached_property
from importlib import metadata, util
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from processes import run

SCRIPTS = Path(__file__).resolve().parent
PACKAGE = SCRIPTS.parent / "foldbn"
PEERS = {"slim": "onnxslim", "sim": "onnxsim"}
ONNX_ARMS = ("foldbn", "plain", "slim", "sim", "twin")
TFLITE_ARMS = ("foldbn", "plain", "twin")
# No network that is timed has these but for its normalizations.
_AFFINE = ("Mul", "Sub", "Div", "BatchNormalization", "MUL", "SUB", "DIV")


def missing_peers() -> list[str]:
    """Return the arms whose package is not installed."""
    return [arm for arm, package in PEERS.items() if util.find_spec(package) is None]


def file_of(folder: Path, runtime: str, arm: str, batch: int) -> Path:
    """Return where the file of an arm is.

    Others leave the batch open in TFLite files; foldbn fixes it unless told otherwise.
    """
    suffix = f"_batch{batch}" if (runtime, arm) == ("tflite", "foldbn") else ""
    return folder / f"{arm}{suffix}.{runtime}"


def ops_of(path: Path) -> dict[str, int]:
    """Return how many nodes of each type a file has."""
    return dict(json.loads(_note(path).read_text())["ops"])


def files_of(folder: Path, arms: Iterable[str], batches: Iterable[int]) -> dict[Path, str]:
    """Return the files of these arms and the digest of what each comes from."""
    source = _digest(SCRIPTS / "networks.py", SCRIPTS / "weights.py", metadata.version("keras"))
    versions = {arm: _digest(metadata.version(PEERS[arm])) for arm in PEERS if arm in arms}
    versions["foldbn"] = _digest(*sorted(PACKAGE.rglob("*.py")))
    wanted = {}
    if not PEERS.keys().isdisjoint(arms):
        arms = {*arms, "plain"}  # which those tools work on
    for runtime, known in (("onnx", ONNX_ARMS), ("tflite", TFLITE_ARMS)):
        for arm in (arm for arm in known if arm in arms):
            for batch in batches:
                digest = source + versions.get(arm, "")
                wanted[file_of(folder, runtime, arm, batch)] = digest
    return wanted


def stale(wanted: dict[Path, str]) -> list[Path]:
    """Return the files that are to be made."""
    return [path for path, digest in wanted.items() if not _is_fresh(path, digest)]


def make(
    name: str, folder: Path, arms: Iterable[str], batches: list[int], *, gammas: str, side: int
) -> None:
    """Make what is missing or stale of a network's files, in a process of its own."""
    if stale(files_of(folder, arms, batches)):
        command = [sys.executable, __file__, name, folder, "--gammas", gammas, "--arms", *arms]
        run([*command, "--side", str(side), "--batches", *map(str, batches)])


def _is_fresh(path: Path, digest: str) -> bool:
    note = _note(path)
    return note.exists() and path.exists() and json.loads(note.read_text())["digest"] == digest


def _note(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _digest(*parts: Path | str) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.read_bytes() if isinstance(part, Path) else part.encode())
    return digest.hexdigest()[:12]


class Exports:
    """One network, and how each arm writes it; Keras models are built when they are needed."""

    def __init__(self, name: str, folder: Path, gammas: str, side: int) -> None:
        self.name, self.folder, self.gammas, self.side = name, folder, gammas, side

    @cached_property
    def model(self) -> Any:
        """The network with its normalizations."""
        import networks

        return networks.build(self.name, side=self.side, gammas=self.gammas)

    @cached_property
    def twin(self) -> Any:
        """The network without any normalization."""
        import networks
        from weights import check_activations

        bare = networks.twin(self.model)
        check_activations(bare)
        return bare

    def foldbn(self, path: Path) -> None:
        """Run the command as a user would."""
        source, out = self.folder / "model.keras", self.folder / "out"
        self.model.save(source)
        runtime = path.suffix[1:]
        command = [sys.executable, "-m", "foldbn", "convert", source, "--no-bench", "--quiet"]
        command += ["--overwrite", "--output-dir", out, "--to", runtime]
        if runtime == "tflite":
            command += ["--batch-size", path.stem.partition("_batch")[2]]
        run(command)
        (out / f"model.{runtime}").replace(path)

    def plain(self, path: Path) -> None:
        """Use what Keras and TensorFlow bring along."""
        write_plain(self.model, path)

    def bare(self, path: Path) -> None:
        """Export the twin likewise.

        Raises:
            RuntimeError: a map is left in it, so it is no twin.
        """
        write_plain(self.twin, path)
        left = {op: count for op, count in _count(path).items() if op in _AFFINE}
        if left:
            raise RuntimeError(f"the twin of {self.name} computes {left}")

    def slim(self, path: Path) -> None:
        """Send the plain export through onnxslim."""
        import onnx
        import onnxslim

        onnx.save(onnxslim.slim(str(self.folder / "plain.onnx")), path)

    def sim(self, path: Path) -> None:
        """Send the plain export through onnxsim."""
        import onnx
        import onnxsim

        onnx.save(onnxsim.simplify(onnx.load(self.folder / "plain.onnx"))[0], path)


def write_plain(model: Any, path: Path) -> None:
    """Write a Keras model by its own export, or with TFLite's converter."""
    import tensorflow as tf

    model(tf.zeros((1, *model.input_shape[1:])))
    if path.suffix == ".onnx":
        model.export(path, format="onnx", verbose=False)
    else:
        path.write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())


def _count(path: Path) -> dict[str, int]:
    from foldbn.export import statistics_of

    return statistics_of(path.read_bytes()).ops


def main() -> None:
    """Make the files of one network that are missing or stale."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--gammas", default="mixed")
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--arms", nargs="+", default=ONNX_ARMS)
    parser.add_argument("--batches", nargs="+", type=int, default=(1, 8))
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    wanted = files_of(options.folder, options.arms, options.batches)
    exports = Exports(options.name, options.folder, options.gammas, options.side)
    writers: dict[str, Callable[[Path], None]] = {
        "foldbn": exports.foldbn,
        "plain": exports.plain,
        "slim": exports.slim,
        "sim": exports.sim,
        "twin": exports.bare,
    }
    # The plain export first: others work on it.
    for path in sorted(stale(wanted), key=lambda path: not path.stem.startswith("plain")):
        writers[path.stem.partition("_")[0]](path)
        note = {"digest": wanted[path], "ops": _count(path)}
        _note(path).write_text(json.dumps(note))


if __name__ == "__main__":
    main()
