"""The disk is full at every write: no file is changed, half written or left behind."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import foldbn
from foldbn.errors import FoldbnError, WriteFailed
from foldbn.export import staging
from tests.command import run_by


class Disk:
    """A disk that is full from the n-th opening for writing below a folder."""

    def __init__(self) -> None:
        self.folder, self.left = "", -1
        sys.addaudithook(self._watch)

    def _watch(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event != "open" or self.left < 0 or self.folder not in str(arguments[0]):
            return
        if arguments[2] & (os.O_WRONLY | os.O_RDWR):
            self.left -= 1
            if self.left < 0:
                _allow(0)

    @contextmanager
    def full_at(self, folder: Path, count: int) -> Iterator[None]:
        """Let `count` files be opened for writing below `folder`, and nothing be written then."""
        self.folder, self.left = str(folder), count
        try:
            yield
        finally:
            self.left = -1
            _allow(resource.getrlimit(resource.RLIMIT_FSIZE)[1])


def _allow(size: int) -> None:
    """Let files of this process grow to `size` bytes; the kernel refuses to write more."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


@pytest.fixture(scope="module")
def disk() -> Disk:
    """Return a disk that can be full."""
    return Disk()


@pytest.mark.parametrize("formats", [("onnx", "tflite"), ("savedmodel",)], ids=str)
def test_full_disk_at_every_write(disk, place, monkeypatch, formats):
    """From whichever file on nothing can be written: exit 4, and all is as it was."""
    monkeypatch.setattr(tempfile, "tempdir", str(place.temporary))
    failures = 0
    for count in range(60):
        code = 0
        with disk.full_at(place.folder, count):
            try:
                foldbn.convert(place.model, to=formats, overwrite=True, bench=False)
            except FoldbnError as error:
                code = error.exit_code
        if code == 0:
            break
        assert code == 4, count
        place.assert_untouched()
        failures += 1
    assert 2 <= failures < 59
    after = place.contents()
    assert {name for name in after if "/." in name} == set()
    assert after["out/model.h5"] == place.before["out/model.h5"]


@pytest.mark.parametrize(
    ("formats", "size"),
    [
        (("onnx", "tflite"), 100),
        (("onnx", "tflite"), 20_600),
        (("savedmodel",), 100),
        (("savedmodel",), 4_096),
    ],
    ids=str,
)
def test_files_that_may_not_grow(disk, place, monkeypatch, formats, size):
    """Wherever in a file the disk is full, in C++ or in Python: exit 4, and all is as it was."""
    monkeypatch.setattr(tempfile, "tempdir", str(place.temporary))
    with disk.full_at(place.folder, 1000):
        _allow(size)
        with pytest.raises(FoldbnError) as caught:
            foldbn.convert(place.model, to=formats, overwrite=True, bench=False)
    assert caught.value.exit_code == 4
    place.assert_untouched()


def limited(blocks: int, *arguments: Any, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command with files that may not grow over a number of blocks of 1 KiB."""
    shell = ["bash", "-c", 'ulimit -f "$0"; exec "$@"', str(blocks)]
    return run_by(shell, *arguments, **environment)


def test_full_disk_in_the_command(place):
    """The command itself tells that nothing can be written, its log included."""
    arguments = ["convert", place.model, "--overwrite", "--no-bench"]
    finished = limited(8, *arguments, TMPDIR=str(place.temporary))
    assert finished.returncode == 4
    assert "error FBN044: cannot write" in finished.stderr
    assert os.strerror(errno.EFBIG) in finished.stderr
    place.assert_untouched()


def test_full_log(place):
    """A log that cannot be written does not stop the work."""
    log = place.folder / "worker.log"
    finished = limited(0, "inspect", place.model, "--log-file", log)
    assert finished.returncode == 2
    assert "cannot write the log" in finished.stderr
    log.unlink(missing_ok=True)
    place.assert_untouched()


def test_write_failed_names_the_folder(place, monkeypatch):
    """The error says where it was that nothing could be written."""

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(staging.os, "fsync", full)
    with pytest.raises(WriteFailed, match=r"'.*out': No space left on device"):
        foldbn.convert(place.model, overwrite=True, bench=False, to=("tflite",))
    place.assert_untouched()
