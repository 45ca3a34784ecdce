"""The worker and the command are ended in every phase: no file is changed or left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from foldbn.export import staging
from tests.command import PATIENCE, assert_gone, parsed, run, started, wait_for, worker_of
from tests.faults.places import PHASES


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
    else:
        assert err.splitlines()[-1] == "error FBN143: ended by SIGTERM"


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


def test_json_of_an_interruption(place):
    """Under ``--json`` an interruption is a document as well."""
    with started("inspect", place.model, "--json") as process:
        wait_for(process, PHASES["load"])
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert parsed(out)["error"]["exit_code"] == 130
