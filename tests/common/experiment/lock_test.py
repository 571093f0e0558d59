import errno
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from common.experiment import folder, json_file, lock, sweep
from common.experiment.outcome import RunFailed, StopRequest
from common.experiment.single_run import train_alone
from tests.tiny_run import make_method, tiny

ROOT = Path(__file__).parents[3]
HOLDER = """
import sys, time
from pathlib import Path
from common.experiment import lock
with lock.hold([Path(sys.argv[1])]):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock of a folder."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "run")]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_process_is_told_who_holds_the_folder(holder, tmp_path):
    with pytest.raises(RunFailed, match=rf"run is in use by process {holder.pid} on \S+; wait"):
        with lock.hold([tmp_path / "run"]):
            pass


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_lock_vanishes_with_its_process(holder, tmp_path, number):
    holder.send_signal(number)
    holder.wait()
    assert (tmp_path / "run" / ".lock").is_file()
    with lock.hold([tmp_path / "run"]):
        assert f"process {os.getpid()} on" in (tmp_path / "run" / ".lock").read_text()


def test_nothing_stays_behind(tmp_path):
    kept = tmp_path / "kept"
    kept.mkdir()
    with lock.hold([tmp_path / "a" / "b", kept]):
        (kept / "file").touch()
    assert list(tmp_path.rglob("*")) == [kept, kept / "file"]
    with lock.hold([tmp_path / "a" / "b"]):
        (tmp_path / "a" / "b" / "file").touch()
    assert (tmp_path / "a" / "b" / "file").is_file()


def test_all_folders_are_held_or_none(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    with lock.hold([second]):
        with pytest.raises(RunFailed, match="second is in use"):
            with lock.hold([first, second]):
                pass
        assert not first.exists()
        with lock.hold([first]):
            pass


def test_a_lock_on_a_file_that_was_removed_is_none(tmp_path, monkeypatch):
    flock, taken = fcntl.flock, []

    def removed_in_between(file, operation):
        if not taken:
            taken.append(file)
            os.unlink(tmp_path / ".lock")
        flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", removed_in_between)
    with lock.hold([tmp_path]):
        assert (tmp_path / ".lock").is_file()


def test_a_file_system_without_locks_is_named(tmp_path, monkeypatch, capsys):
    def unsupported(file, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    with lock.hold([tmp_path]):
        pass
    assert "cannot be locked here (No locks available)" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunFailed, match="cannot write .*file/run: Not a directory"):
        with lock.hold([tmp_path / "file" / "run"]):
            pass


def test_a_run_in_use_is_not_trained_and_stays_as_it_is(tmp_path):
    config = tiny(tmp_path, "source_only", num_steps=20)
    with lock.hold([folder.run_folder(config)]):
        with pytest.raises(RunFailed, match="is in use by process"):
            train_alone(config, make_method, StopRequest())
        assert [path.name for path in folder.run_folder(config).iterdir()] == [".lock"]
    assert not list(tmp_path.iterdir())


def test_a_second_sweep_of_the_same_grid_is_refused_and_the_plan_stays(tmp_path):
    configs = [tiny(tmp_path, "source_only", seed=seed, num_steps=20) for seed in range(2)]
    populations = sweep.plan(configs)
    path = tmp_path / "tiny" / "sweep.json"
    before = path.read_text()
    with lock.hold([folder.run_folder(config) for config in populations[0]]):
        with pytest.raises(RunFailed, match="is in use by process"):
            sweep.run_sweep(configs, make_method, StopRequest(), [], lambda text: None)
    assert path.read_text() == before


def test_a_plan_waits_for_another_plan(tmp_path):
    """Three processes add five populations each; none is lost."""
    code = """
import sys
from pathlib import Path
from common.experiment import folder, json_file, lock
root = Path(sys.argv[1])
for turn in range(5):
    with lock.hold([root], ".sweep.lock", wait=True):
        path = root / "sweep.json"
        written = json_file.read_json(path)["populations"] if path.is_file() else []
        json_file.write_json(path, {"populations": [*written, [f"{sys.argv[2]}-{turn}"]]})
"""
    command = [sys.executable, "-c", code, str(tmp_path / "tiny")]
    processes = [subprocess.Popen([*command, str(i)], cwd=ROOT) for i in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert len(json_file.read_json(tmp_path / "tiny" / "sweep.json")["populations"]) == 15
