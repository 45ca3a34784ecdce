"""What loading a model does to the process that asks for it."""

from __future__ import annotations

import os
import subprocess
import sys

import foldbn

LEVEL = "TF_CPP_MIN_LOG_LEVEL"
INSPECT = "import sys, foldbn; print(foldbn.inspect(sys.argv[1]).summary.folded)"
SMALL_TALK = "rebuild TensorFlow"  # what its C++ says of every processor


def test_tensorflow_tells_a_program_nothing_but_warnings(networks):
    """A program that never speaks of TensorFlow is not told of processors and start-up."""
    environment = {name: value for name, value in os.environ.items() if name != LEVEL}
    done = subprocess.run(
        [sys.executable, "-c", INSPECT, networks / "bn_axis_1.h5"],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    assert done.stdout == "1\n"
    assert SMALL_TALK not in done.stderr


def test_who_imported_tensorflow_has_decided(networks, monkeypatch):
    """Where TensorFlow is there already, the environment of the process stays as it is."""
    import tensorflow as tf

    assert tf.__name__ in sys.modules
    monkeypatch.delenv(LEVEL, raising=False)
    foldbn.inspect(networks / "bn_axis_1.h5")
    assert LEVEL not in os.environ
