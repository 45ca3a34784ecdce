"""Whatever happens to the command, no file is changed, half written or left behind.

Real processes and real signals: the worker and the command itself are ended in every phase, and
the disk is full at every write.
"""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
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
from tests.command import (
    COMMAND,
    PATIENCE,
    assert_gone,
    parsed,
    run,
    started,
    wait_for,
    worker_of,
)

SABOTEUR = Path(__file__).parent / "saboteur"
PHASES = {
    "load": "loading the model",
    "fold": "folding",
    "verify": "verifying",
    "export": "exporting",
    "bench": "timing",
}


class Place:
    """A model, older artefacts beside it, and a temporary folder: what must stay as it is."""

    def __init__(self, folder: Path, network: Path) -> None:
        self.folder = folder
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self.out = folder / "out"
        self.out.mkdir()
        self.model = Path(shutil.copy(network, self.out / "model.h5"))
        for name in ("model.onnx", "model.tflite"):
            (self.out / name).write_bytes(b"old")
        self.before = self.contents()

    def contents(self) -> dict[str, bytes]:
        """Return every file below the folder, hidden ones too."""
        files = (path for path in sorted(self.folder.rglob("*")) if path.is_file())
        return {
            str(path.relative_to(self.folder)): path.read_bytes()
            for path in files
            # TensorFlow removes these when its process ends.
            if not path.name.startswith("__autograph_generated_file")
        }

    def command(self, *options: str, **environment: str) -> Any:
        """Start a conversion that replaces the older artefacts."""
        command = ("convert", self.model, "--overwrite", *options)
        return started(*command, TMPDIR=str(self.temporary), **environment)

    def killed_at(self, event: str, count: int, who: str, number: int) -> Any:
        """Start a conversion that ends itself at a step of its work with files."""
        return self.command(
            "--no-bench",
            PYTHONPATH=str(SABOTEUR),
            FOLDBN_TEST_KILL=f"{event}:{count}:{who}:{number:d}",
        )

    def assert_untouched(self) -> None:
        """Assert that all files are what they were, and that no folder has come."""
        assert self.contents() == self.before
        assert {path.name for path in self.folder.rglob("*") if path.is_dir()} == {"tmp", "out"}


@pytest.fixture
def place(networks, tmp_path) -> Place:
    """Return a model with older artefacts beside it."""
    return Place(tmp_path, networks / "bn_axis_1.h5")


def assert_killed_worker(process: subprocess.Popen[str]) -> None:
    """Assert that the command says in plain words that its worker was killed."""
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (4, "")
    assert "error FBN045" in err
    assert "SIGKILL" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("phase", PHASES)
def test_killed_worker(place, phase):
    """A worker that is killed is an error with exit 4; nothing it did remains."""
    with place.command() as process:
        wait_for(process, PHASES[phase])
        os.kill(worker_of(process), signal.SIGKILL)
        assert_killed_worker(process)
    place.assert_untouched()


def test_killed_worker_while_publishing(place):
    """A worker that is killed between two renamings has them undone by the command."""
    with place.killed_at("os.rename", 3, "self", signal.SIGKILL) as process:
        assert_killed_worker(process)
    place.assert_untouched()


ENDINGS = {"SIGINT": (signal.SIGINT, 130), "SIGTERM": (signal.SIGTERM, 143)}


def assert_ended(process: subprocess.Popen[str], code: int, hint: str) -> None:
    """Assert that the command ended by a signal as it should, and says the truth."""
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out) == (code, "")
    assert "Traceback" not in err
    if code == 130:
        assert err.splitlines()[-2:] == ["error FBN130: interrupted", f"hint: {hint}"]


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize(("number", "code"), ENDINGS.values(), ids=ENDINGS)
def test_signal(place, number, code, phase):
    """Ctrl-C and SIGTERM end the worker too, and nothing remains."""
    with place.command() as process:
        wait_for(process, PHASES[phase])
        worker = worker_of(process)
        process.send_signal(number)
        assert_ended(process, code, "nothing was written")
    assert_gone(worker)
    place.assert_untouched()


@pytest.mark.parametrize(("number", "code"), ENDINGS.values(), ids=ENDINGS)
def test_signal_while_publishing(place, number, code):
    """A signal between two renamings undoes the first."""
    with place.killed_at("os.rename", 3, "parent", number) as process:
        assert_ended(process, code, "nothing was written")
    place.assert_untouched()


def test_signal_after_publishing(place):
    """A signal when all files have their names says so, and leaves them complete."""
    with place.killed_at("os.remove", 1, "parent", signal.SIGINT) as process:
        assert_ended(process, 130, "the files were written already")
    after = place.contents()
    assert set(after) == set(place.before)
    assert after["out/model.h5"] == place.before["out/model.h5"]
    assert b"old" not in after.values()


@pytest.mark.parametrize("phase", [*PHASES, "publish"])
def test_killed_command(place, phase):
    """When the command itself is killed, its worker ends, and the next run tidies up."""
    if phase == "publish":
        with place.killed_at("os.rename", 3, "parent", signal.SIGKILL) as process:
            worker = worker_when_told(process)
            assert process.wait(PATIENCE) == -signal.SIGKILL
    else:
        with place.command() as process:
            wait_for(process, PHASES[phase])
            worker = worker_of(process)
            process.kill()
            process.wait()
    assert_gone(worker)
    seen = {name: text for name, text in place.contents().items() if "/." not in name}
    assert seen["out/model.h5"] == place.before["out/model.h5"]
    assert seen["out/model.tflite"] == b"old"
    assert seen["out/model.onnx"] == b"old" or phase == "publish"
    staging.recover(place.model, None)
    finished = run("inspect", place.folder / "missing.h5", TMPDIR=str(place.temporary))
    assert finished.returncode == 3
    place.assert_untouched()


def worker_when_told(process: subprocess.Popen[str]) -> int:
    """Return the worker's process id once it has begun."""
    wait_for(process, PHASES["load"])
    return worker_of(process)


def test_the_next_run_tidies_up(place):
    """What a killed command leaves is gone when the next one has written its files."""
    with place.command() as process:
        wait_for(process, PHASES["export"])
        worker = worker_of(process)
        process.kill()
        process.wait()
    assert_gone(worker)
    finished = run("convert", place.model, "--no-bench", "--overwrite", TMPDIR=str(place.temporary))
    assert finished.returncode == 0, finished.stderr
    assert set(place.contents()) == set(place.before)


def test_a_worker_without_a_parent(tmp_path):
    """A worker whose parent has ended before it could ask to be told ends by itself."""
    reader, writer = os.pipe()
    command = [sys.executable, "-m", "foldbn.worker", str(writer), "1"]
    try:
        run = subprocess.run(
            command, input=b"", pass_fds=[writer], check=False, timeout=PATIENCE, cwd=tmp_path
        )
    finally:
        os.close(writer)
        os.close(reader)
    assert run.returncode == 1


def test_temporary_files_of_a_killed_worker(place):
    """What a worker puts into the temporary folder is gone when it is ended at its work."""
    with started("inspect", place.model, TMPDIR=str(place.temporary)) as process:
        wait_for(process, PHASES["load"])
        assert any(place.temporary.iterdir())
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE)
    assert process.returncode == 143
    place.assert_untouched()


def test_signal_while_a_saved_model_is_written(networks, tmp_path):
    """A SavedModel that is half written goes too, and the old one stays as it was."""
    old = tmp_path / "cnn_bn_after.savedmodel"
    old.mkdir()
    (old / "saved_model.pb").write_bytes(b"old")
    command = ("convert", networks / "cnn_bn_after.h5", "-o", tmp_path, "--to", "savedmodel")
    with started(*command, "--overwrite") as process:
        wait_for(process, "exporting")
        worker = worker_of(process)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE)
    assert process.returncode == 143
    assert_gone(worker)
    assert list(tmp_path.iterdir()) == [old]
    assert [(path.name, path.read_bytes()) for path in old.iterdir()] == [
        ("saved_model.pb", b"old")
    ]


def test_folders_that_were_made_go(networks, tmp_path):
    """Output folders that the command has made go with what was to be in them."""
    command = ("convert", networks / "bn_axis_1.h5", "-o", tmp_path / "a" / "b")
    with started(*command) as process:
        wait_for(process, "exporting")
        os.kill(worker_of(process), signal.SIGKILL)
        assert_killed_worker(process)
    assert list(tmp_path.iterdir()) == []


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


LIMITED = 'ulimit -f "$0"; exec "$@"'


def test_full_disk_in_the_command(place):
    """The command itself tells that nothing can be written, its log included."""
    arguments = ["convert", place.model, "--overwrite", "--no-bench"]
    finished = subprocess.run(
        ["bash", "-c", LIMITED, "8", *COMMAND, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        env={**os.environ, "TMPDIR": str(place.temporary)},
    )
    assert finished.returncode == 4
    assert "error FBN044: cannot write to" in finished.stderr
    assert os.strerror(errno.EFBIG) in finished.stderr
    place.assert_untouched()


# Root may write anywhere; a process of root that has lost this right may not.
POWERLESS = """
import ctypes, os, sys
for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
os.execv(sys.argv[1], sys.argv[1:])
"""


def powerless(*arguments: Any, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command as one who may write only where the file system lets them."""
    return subprocess.run(
        [sys.executable, "-c", POWERLESS, *COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
        env={**os.environ, **environment},
    )


@contextmanager
def read_only(folder: Path, mode: int = 0o555) -> Iterator[None]:
    """Let nobody write into a folder."""
    folder.chmod(mode)
    try:
        yield
    finally:
        folder.chmod(0o755)


def test_read_only_folder(place):
    """A folder that cannot be written to is exit 4, and named."""
    with read_only(place.out):
        finished = powerless("convert", place.model, "--overwrite", "--no-bench")
    assert finished.returncode == 4
    assert f"error FBN044: cannot write to '{place.out}': Permission denied" in finished.stderr
    place.assert_untouched()


@pytest.mark.parametrize("mode", [0o555, 0o000])
def test_output_folder_inside_a_closed_one(place, mode):
    """A folder that cannot be made, or cannot even be looked for, is exit 4."""
    closed = place.folder / "closed"
    closed.mkdir()
    with read_only(closed, mode):
        finished = powerless("convert", place.model, "--no-bench", "-o", closed / "a" / "b")
    closed.rmdir()
    assert finished.returncode == 4
    assert "error FBN044: cannot write to" in finished.stderr
    place.assert_untouched()


def test_read_only_home(place):
    """A home that cannot be written to does not matter, and no other place is taken for it."""
    home = place.folder / "out"
    with read_only(home):
        finished = powerless("inspect", place.model, HOME=str(home), TMPDIR=str(place.temporary))
    assert finished.returncode == 0, finished.stderr
    assert "Traceback" not in finished.stderr
    place.assert_untouched()


def test_home_stays_clean(place):
    """Keras writes its settings into any home that it finds; not here."""
    finished = run("inspect", place.model, HOME=str(place.out), TMPDIR=str(place.temporary))
    assert finished.returncode == 0, finished.stderr
    place.assert_untouched()


def test_no_temporary_folder(place):
    """Where no temporary file can be made the error says what to set."""
    with read_only(place.temporary):
        finished = powerless("inspect", place.model, TMPDIR=str(place.temporary / "missing"))
    # Python falls back on the system's own folders where it can.
    assert finished.returncode in (0, 4)
    assert "Traceback" not in finished.stderr
    place.assert_untouched()


def through(shell: str, *arguments: Any) -> subprocess.CompletedProcess[str]:
    """Run the command through a shell that redirects its streams."""
    return subprocess.run(
        ["bash", "-c", f'"$0" "$@" {shell}', *COMMAND, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )


@pytest.mark.parametrize("flags", [(), ("--json",)], ids=str)
def test_full_stdout(place, flags):
    """A report that cannot be written is exit 4: a pipeline must not take it for done."""
    finished = through(">/dev/full", "inspect", place.model, *flags)
    assert finished.returncode == 4
    assert "error FBN048: cannot write to standard output: No space left" in finished.stderr
    assert "Traceback" not in finished.stderr


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("convert", "--help")], ids=str)
def test_full_stdout_for_help(arguments):
    """Help that cannot be written is exit 4, without a traceback."""
    finished = through(">/dev/full", *arguments)
    assert finished.returncode == 4
    assert finished.stderr.startswith("error FBN048")
    assert "Traceback" not in finished.stderr


@pytest.mark.parametrize("flags", [(), ("--json",)], ids=str)
def test_full_stdout_for_an_error(tmp_path, flags):
    """An error that cannot be told keeps its exit code."""
    finished = through(">/dev/full 2>/dev/full", "inspect", tmp_path / "missing.h5", *flags)
    assert finished.returncode == 3


@pytest.mark.parametrize("shell", [">&-", "2>&-", "<&-", "<&- >&- 2>&-", "2>/dev/full"])
def test_closed_streams(place, shell):
    """With streams closed the worker still answers over a pipe of its own."""
    finished = through(shell, "inspect", place.model)
    assert finished.returncode == 0, finished.stderr
    assert ("1 folded" in finished.stdout) == (">&-" not in shell or shell == "2>&-")
    assert "Traceback" not in finished.stderr


def test_full_log(place):
    """A log that cannot be written does not stop the work."""
    log = place.folder / "worker.log"
    arguments = ["inspect", place.model, "--log-file", log]
    finished = subprocess.run(
        ["bash", "-c", LIMITED, "0", *COMMAND, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
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


def test_json_of_an_interruption(place):
    """Under ``--json`` an interruption is a document as well."""
    with started("inspect", place.model, "--json") as process:
        wait_for(process, PHASES["load"])
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert parsed(out)["error"]["exit_code"] == 130
