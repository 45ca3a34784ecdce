"""How much memory and time a worker may take, and what is said when it wants more."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from foldbn.worker import limits
from tests.command import parsed, run, started, wait_for, worker_of

GROW = """
import sys
from foldbn.worker import limits
limits.limit_memory({limit})
try:
    block = bytearray({size})
except MemoryError as error:
    sys.exit(7 if limits.ran_out_of_memory(error) else 8)
sys.exit(9 if limits.is_near({limit}) else 0)
"""


@pytest.mark.parametrize(
    ("limit", "size", "code"),
    [(200_000_000, 300_000_000, 7), (900_000_000, 300_000_000, 0), (0, 300_000_000, 0)],
)
def test_limit_memory(limit, size, code):
    """A process gets no more than it may have; 0 is no limit."""
    command = [sys.executable, "-c", GROW.format(limit=limit, size=size)]
    assert subprocess.run(command, check=False).returncode == code


def test_is_near():
    """A process that takes nearly all that it may have says so."""
    command = [sys.executable, "-c", GROW.format(limit=330_000_000, size=300_000_000)]
    assert subprocess.run(command, check=False).returncode == 9


MAP = """
import mmap, sys
from foldbn.worker import limits
with open(sys.argv[1], "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as pages:
    sum(pages[::4096])
    sys.exit(9 if limits.is_near(330_000_000) else 0)
"""


def test_pages_of_files_are_not_near(tmp_path):
    """Pages of files, as the code of libraries is, are not held against the limit."""
    file = tmp_path / "file"
    with file.open("wb") as stream:
        stream.truncate(300_000_000)
    command = [sys.executable, "-c", MAP, str(file)]
    assert subprocess.run(command, check=False).returncode == 0


def test_default_memory(tmp_path, monkeypatch):
    """The default grows with the files, and stops at nine tenths of the machine's memory."""
    monkeypatch.setattr(limits, "machine_memory", lambda: 100 * 10**9)
    monkeypatch.setattr(limits.os, "cpu_count", lambda: 2)
    file = tmp_path / "model.h5"
    file.write_bytes(bytes(10**6))
    folder = tmp_path / "model"
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(bytes(10**6))
    (folder / "variables" / "variables.data").write_bytes(bytes(10**6))
    (folder / "assets").mkdir()
    least = limits.default_memory([tmp_path / "missing"])
    assert least == 4 * 10**9 + 2 * 2**26
    assert limits.default_memory([file, folder]) == least + 64 * 3 * 10**6
    monkeypatch.setattr(limits, "machine_memory", lambda: 10**9)
    assert limits.default_memory([file]) == 9 * 10**8


def test_machine_memory():
    """The machine's memory is no more than what the kernel says, in bytes."""
    total = re.search(r"MemTotal:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    assert 0 < limits.machine_memory() <= int(total[1]) * 1024
    assert limits.machine_memory() > 2**28


def test_what_a_crash_says():
    """The last words of C++ when there is no memory are known."""
    assert limits.tells_of_memory(b"terminate called after throwing 'std::bad_alloc'")
    assert limits.tells_of_memory(b"tcmalloc: Out of memory")
    assert limits.tells_of_memory(
        b"OpenBLAS error: Memory allocation still failed after 10 retries, giving up."
    )
    assert not limits.tells_of_memory(b"Segmentation fault (core dumped)")


def test_errors_that_come_from_memory():
    """An error is put down to memory by what it came from, and a full disk is none of that."""
    outer = ValueError("Keras cannot load it")
    outer.__cause__ = MemoryError()
    assert limits.ran_out_of_memory(outer)
    assert limits.ran_out_of_memory(RuntimeError("OOM when allocating tensor"))
    linked = "libhdf5.so: cannot map zero-fill pages"
    assert limits.ran_out_of_memory(ImportError(linked))
    assert not limits.ran_out_of_memory(ImportError("libhdf5.so: cannot open shared object file"))
    assert not limits.ran_out_of_memory(OSError(28, "No space left on device"))


@pytest.mark.parametrize("limit", ["0.2", "0.3"])
def test_too_little_memory(networks, tmp_path, limit):
    """A worker that needs more than it may have is exit 4, the limit and the option are named."""
    finished = run(
        "convert", networks / "mlp_bn_after.h5", "-o", tmp_path / "out", "--memory-limit", limit
    )
    assert finished.returncode == 4
    told = f"error FBN046: the worker process ran out of memory: it may take {limit} GB"
    assert told in finished.stderr
    assert "--memory-limit" in finished.stderr
    assert "Traceback" not in finished.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("limit", ["0.1", "0.12", "0.14"])
def test_too_little_memory_for_a_library(networks, tmp_path, limit):
    """Where a library does not fit into the memory, that says nothing of the file to be read."""
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        for member in ("config.json", "metadata.json", "model.weights.h5"):
            archive.writestr(member, "{}")
    model = path if limit == "0.1" else networks / "mlp_bn_after.h5"
    finished = run("inspect", model, "--memory-limit", limit)
    assert finished.returncode == 4, finished.stderr
    assert not re.search("damaged|cannot be loaded|a bug", finished.stderr)


def test_a_name_that_no_file_can_have(tmp_path):
    """The size of what cannot be there is nothing, and the default limit is the least one."""
    long = tmp_path / ("x" * 300)
    assert limits.default_memory([long]) == limits.default_memory([tmp_path / "missing"])


def test_the_worker_has_a_limit(networks):
    """Unless told otherwise every worker is limited; the environment can lift it."""

    def allowed(**environment: str) -> str:
        with started("inspect", networks / "bn_axis_1.h5", **environment) as process:
            wait_for(process, "loading the model")
            limits = Path(f"/proc/{worker_of(process)}/limits").read_text()
        return re.search(r"Max data size +(\S+)", limits)[1]

    size = (networks / "bn_axis_1.h5").stat().st_size
    assert int(allowed()) == min(
        4 * 10**9 + (os.cpu_count() or 1) * 2**26 + 64 * size, int(0.9 * limits.machine_memory())
    )
    assert allowed(FOLDBN_INSPECT_MEMORY_LIMIT="0") == "unlimited"


def test_timeout(networks, tmp_path):
    """A worker that takes too long is ended: exit 4, and the option is named."""
    start = time.monotonic()
    finished = run(
        "convert",
        networks / "cnn_bn_after.h5",
        "-o",
        tmp_path / "out",
        "--timeout",
        "0.5",
        "--json",
    )
    assert time.monotonic() - start < 30
    assert finished.returncode == 4
    error = parsed(finished.stdout)["error"]
    assert error["id"] == "FBN047"
    assert "after 0.5 s" in error["message"]
    assert "--timeout" in error["hint"]
    assert list(tmp_path.iterdir()) == []
