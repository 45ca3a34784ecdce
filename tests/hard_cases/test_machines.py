"""Hard cases 25 and 28: machines without the provider, and environments without a terminal."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import foldbn
from foldbn.errors import FoldbnError, ProviderMissing


def test_25_provider_that_is_not_there(networks, tmp_path):
    """A provider that is not there is an error that lists what there is; nothing is written."""
    import onnxruntime

    available = onnxruntime.get_available_providers()
    name, full = next(
        (short, full)
        for short, full in (("cuda", "CUDAExecutionProvider"), ("dml", "DmlExecutionProvider"))
        if full not in available
    )
    for provider in (name, full):
        with pytest.raises(ProviderMissing, match="CPUExecutionProvider") as caught:
            foldbn.convert(
                networks / "bn_axis_1.h5", output_dir=tmp_path / "out", providers=[provider]
            )
        assert caught.value.exit_code == 4
        assert full in caught.value.message
    assert not (tmp_path / "out").exists()


def test_25_unknown_provider(networks, tmp_path):
    """A provider that nobody knows is an error that names it."""
    with pytest.raises(FoldbnError, match="abacus"):
        foldbn.convert(networks / "bn_axis_1.h5", output_dir=tmp_path, providers=["abacus"])


COMMAND = (sys.executable, "-m", "foldbn", "convert", "--no-bench")


def test_28_bare_environment(networks, tmp_path):
    """With LANG=C, NO_COLOR, no terminal and an unusable HOME the command works as ever."""
    home = tmp_path / "home"
    home.write_bytes(b"")
    environment = {
        **{name: value for name, value in os.environ.items() if name in ("PATH", "PYTHONPATH")},
        "LANG": "C",
        "LC_ALL": "C",
        "NO_COLOR": "1",
        "HOME": str(home / "nothing"),
    }
    out = tmp_path / "out"
    run = subprocess.run(
        [*COMMAND, "-o", out, networks / "cnn_bn_after.h5"],
        env=environment,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    assert b"\x1b" not in run.stdout + run.stderr
    assert b"Traceback" not in run.stderr
    assert b"batch_normalization_3" in run.stdout
    run.stdout.decode("utf-8")
    assert {path.name for path in out.iterdir()} == {"cnn_bn_after.onnx", "cnn_bn_after.tflite"}
