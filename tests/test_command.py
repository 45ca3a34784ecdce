"""The real command in a process of its own: streams, documents and exit codes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import foldbn
from tests.command import parsed, run


@pytest.fixture(scope="module")
def converted(networks, tmp_path_factory) -> tuple[subprocess.CompletedProcess[str], Path]:
    """Return what converting a small network with ``--json`` and a log gives, and the folder."""
    folder = tmp_path_factory.mktemp("command")
    options = ("--json", "-o", folder, "--log-file", folder / "worker.log")
    return run("convert", networks / "bn_axis_1.h5", *options), folder


def test_convert_json(converted, networks):
    """The document has every key that the contract names."""
    finished, folder = converted
    assert finished.returncode == 0, finished.stderr
    document = parsed(finished.stdout)
    assert document["schema"] == "foldbn.convert/1"
    assert document["foldbn"] == foldbn.__version__
    assert set(document) >= {
        "schema",
        "foldbn",
        "source",
        "summary",
        "decisions",
        "artifacts",
        "verification",
        "benchmark",
        "timings_s",
    }
    assert set(document["source"]) >= {"path", "format", "sha256", "writer"}
    assert document["source"]["path"] == str(networks / "bn_axis_1.h5")
    assert document["source"]["format"] == "keras-h5"
    assert document["summary"] == {
        "affine_layers": 1,
        "folded": 1,
        "merged": 0,
        "lowered": 0,
        "kept": 0,
    }
    (decision,) = document["decisions"]
    assert {key: decision[key] for key in ("layer", "kind", "outcome", "direction", "into")} == {
        "layer": "batch_normalization",
        "kind": "BatchNormalization",
        "outcome": "folded",
        "direction": "forward",
        "into": ["dense"],
    }
    assert set(decision) >= {"across", "reason"}
    assert [Path(each["path"]) for each in document["artifacts"]] == [
        folder / "bn_axis_1.onnx",
        folder / "bn_axis_1.tflite",
    ]
    assert document["verification"]["passed"] is True
    algebra = document["verification"]["algebra"]
    assert algebra["checked"] is True
    assert 0 <= algebra["max_rel"] <= 1e-9
    assert set(document["timings_s"]) == {"load", "fold", "verify", "export", "bench"}


def test_convert_json_of_artefacts(converted):
    """Each artefact tells its size, its nodes, and how it was proven."""
    for artifact in parsed(converted[0].stdout)["artifacts"]:
        assert set(artifact) >= {"format", "path", "bytes", "sha256", "nodes", "ops"}
        assert set(artifact["nodes"]) == {"before", "after"}
        assert sum(artifact["ops"].values()) == artifact["nodes"]["after"]
        verification = artifact["verification"]
        assert set(verification) >= {
            "passed",
            "max_abs",
            "max_rel",
            "snr_db",
            "cosine",
            "argmax_agreement",
            "reference",
            "error",
            "original_error",
            "samples",
        }
        assert verification["passed"] is True
        assert verification["reference"] == "float64"
        assert verification["samples"] >= 1


def test_convert_json_of_timings(converted):
    """Each format has a row that says where and how it was timed."""
    rows = parsed(converted[0].stdout)["benchmark"]
    assert {row["format"] for row in rows} == {"onnx", "tflite"}
    for row in rows:
        assert set(row) >= {
            "format",
            "provider",
            "threads",
            "batch_size",
            "copies",
            "optimization",
            "original_ms",
            "folded_ms",
            "speedup",
            "speedup_ci95",
            "verdict",
        }
        assert set(row["original_ms"]) >= {"p50", "p95"}
        assert set(row["folded_ms"]) >= {"p50", "p95"}
        low, high = row["speedup_ci95"]
        assert 0 < low <= high
        assert row["verdict"] in ("faster", "slower", "same", "inconclusive")
    assert "CPUExecutionProvider" in {row["provider"] for row in rows}


def test_progress_is_on_stderr(converted):
    """One line for each phase and nothing else is on stderr, without a terminal."""
    lines = converted[0].stderr.splitlines()
    assert lines
    assert all(line.startswith("foldbn: ") for line in lines), lines
    assert lines[0] == "foldbn: loading the model"
    assert "\x1b" not in converted[0].stderr


def test_log_file(converted):
    """The log keeps what TensorFlow prints; beside it are the two artefacts and nothing else."""
    _, folder = converted
    assert (folder / "worker.log").is_file()
    assert {path.name for path in folder.iterdir()} == {
        "worker.log",
        "bn_axis_1.onnx",
        "bn_axis_1.tflite",
    }


def test_verify(converted, networks):
    """The command's own artefacts pass."""
    _, folder = converted
    files = [folder / f"bn_axis_1.{kind}" for kind in ("onnx", "tflite")]
    finished = run("verify", networks / "bn_axis_1.h5", *files, "--json")
    assert finished.returncode == 0, finished.stderr
    document = parsed(finished.stdout)
    assert document["schema"] == "foldbn.verify/1"
    assert document["passed"] is True
    assert [artifact["format"] for artifact in document["artifacts"]] == ["onnx", "tflite"]
    assert all(set(each) >= {"path", "verification"} for each in document["artifacts"])


def test_verify_fails(converted, networks):
    """A file of another model does not pass: exit 1, and the text says which."""
    _, folder = converted
    file = folder / "bn_axis_1.onnx"
    finished = run("verify", networks / "bn_axis_last.h5", file, LANG="C", NO_COLOR="1")
    assert finished.returncode == 1
    assert "bn_axis_1.onnx" in finished.stdout
    assert "Traceback" not in finished.stderr
    assert "\x1b" not in finished.stdout + finished.stderr


def test_bench(converted):
    """Files of both formats are timed side by side."""
    _, folder = converted
    files = [folder / f"bn_axis_1.{kind}" for kind in ("onnx", "tflite")]
    finished = run("bench", *files, "--json", "--provider", "cpu")
    assert finished.returncode == 0, finished.stderr
    document = parsed(finished.stdout)
    assert document["schema"] == "foldbn.bench/1"
    (row,) = document["benchmark"]
    assert row["format"] == "tflite"
    assert row["speedup"] > 0


def test_environment_variable(networks, tmp_path):
    """An option may stand in the environment; ``--quiet`` prints the paths alone."""
    finished = run(
        "convert",
        networks / "bn_axis_1.h5",
        "--quiet",
        FOLDBN_CONVERT_OUTPUT_DIR=str(tmp_path / "out"),
        FOLDBN_CONVERT_BENCH="0",
    )
    assert finished.returncode == 0, finished.stderr
    paths = [tmp_path / "out" / f"bn_axis_1.{kind}" for kind in ("onnx", "tflite")]
    assert finished.stdout.splitlines() == [str(path) for path in paths]
    assert all(path.is_file() for path in paths)
    assert finished.stderr == ""


def test_error_document(tmp_path):
    """Under ``--json`` an error is a document on stdout with its id, exit code and hint."""
    finished = run("inspect", tmp_path / "missing.h5", "--json")
    assert finished.returncode == 3
    document = parsed(finished.stdout)
    assert document["schema"] == "foldbn.error/1"
    assert set(document["error"]) == {"id", "exit_code", "message", "hint"}
    assert document["error"]["id"] == "FBN031"
    assert document["error"]["exit_code"] == 3
    assert "missing.h5" in document["error"]["message"]


def test_missing_provider(networks, tmp_path):
    """A provider that is not there is exit 4, and the message lists those that are."""
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has CUDA")
    finished = run(
        "convert", networks / "bn_axis_1.h5", "-o", tmp_path / "out", "--provider", "cuda"
    )
    assert finished.returncode == 4
    assert "CUDAExecutionProvider" in finished.stderr
    assert "CPUExecutionProvider" in finished.stderr
    assert finished.stdout == ""
    assert not (tmp_path / "out").exists()
