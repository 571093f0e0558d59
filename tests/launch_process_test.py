"""Several processes that train one run by the command, over loopback."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from common.experiment import checkpoint, json_file
from common.training.optimizer import paths_of

ROOT = Path(__file__).parents[1]
CONFIG = "--config=tests/config/tiny_digits.py:method=dann"
# Over few steps, without Adam, which turns rounding errors of small gradients into whole steps, and
# without groups of two units, whose normalised difference is a sign.
SHORT = (
    *(CONFIG, "--config.num_steps=6", "--config.optimizer.name=sgd"),
    "--config.model.normalization=none",
)
# More steps than are trained before the first checkpoint is seen.
LONG = (CONFIG, "--config.num_steps=1500", "--config.runtime.log_every=20")


def start(words, *, number=0, of=1, port="", devices=2):
    environment = {**os.environ, "JAX_NUM_CPU_DEVICES": str(devices), "JAX_PLATFORMS": "cpu"}
    own = (
        f"--config.runtime.coordinator=127.0.0.1:{port}",
        f"--config.runtime.num_processes={of}",
        f"--config.runtime.process={number}",
    )
    return subprocess.Popen(
        [sys.executable, "launch.py", "train", *words, *(own if of > 1 else ())],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def start_two(words):
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        port = own.getsockname()[1]
    return [start(words, number=number, of=2, port=port) for number in range(2)]


def wait_for(processes, seconds=240):
    """Returns what the processes said; none of them outlives a failing test."""
    try:
        return [process.communicate(timeout=seconds)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()


def only_run(workdir):
    (path,) = (workdir / "tiny").glob("dann-*")
    return path


def test_two_processes_train_the_run_of_one(tmp_path):
    pair = start_two((*SHORT, f"--workdir={tmp_path / 'two'}"))
    alone = start((*SHORT, f"--workdir={tmp_path / 'one'}"), devices=1)
    said = wait_for([*pair, alone])
    assert [process.returncode for process in (*pair, alone)] == [0, 0, 0], said
    assert "done: " in said[0] and "done: " not in said[1]

    two, one = only_run(tmp_path / "two"), only_run(tmp_path / "one")
    assert json_file.read_json(two / "config.json")["starts"][0]["devices"] == ["cpu"] * 4
    assert {path.name for path in two.iterdir()} == {
        *{path.name for path in one.iterdir() if "tfevents" not in path.name},
        *{path.name for path in two.iterdir() if "tfevents" in path.name},
    }
    assert len(list(two.glob("*tfevents*"))) == 1
    lines = [(path / "metrics.jsonl").read_text().splitlines() for path in (two, one)]
    assert len(lines[0]) == len(lines[1])
    ours, theirs = (paths_of(checkpoint.load_run(path, "last")["params"]) for path in (two, one))
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        np.testing.assert_allclose(ours[name], value, 1e-5, 1e-5, err_msg=name)


@pytest.mark.matrix
def test_where_one_is_killed_the_others_stop_and_one_alone_goes_on(tmp_path):
    words = (*LONG, f"--workdir={tmp_path}")
    pair = start_two(words)
    saved = tmp_path / "tiny" / "populations"
    deadline = time.monotonic() + 240
    while not any(path.name.isdigit() for path in saved.glob("*/checkpoints/*")):
        assert time.monotonic() < deadline and pair[0].poll() is None, wait_for(pair, 1)
        time.sleep(0.05)
    pair[1].send_signal(signal.SIGKILL)
    said = wait_for(pair, 60)
    assert pair[0].returncode not in (0, -signal.SIGKILL), said[0]
    assert "start all of them again" in said[0] or "another task died" in said[0]
    assert not (only_run(tmp_path) / "result.json").exists()

    again = start(words, devices=1)
    said = wait_for([again])
    assert again.returncode == 0, said
    starts = json_file.read_json(only_run(tmp_path) / "config.json")["starts"]
    assert starts[0]["first_step"] == 0 and starts[-1]["first_step"] > 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["coordinator=nowhere"], "legal are auto and HOST:PORT"),
        (["num_processes=2"], "belong together"),
        (["coordinator=127.0.0.1:1", "num_processes=2", "process=2"], "counted from 0"),
    ],
)
def test_keys_that_do_not_fit_together_are_refused(words, sentence, tmp_path):
    from common.training import process

    given = {"coordinator": "", "num_processes": 0, "process": 0}
    given |= dict(word.split("=") for word in words)
    if "nowhere" in words[0]:
        given["num_processes"] = 1
    with pytest.raises(ValueError, match=sentence):
        process.join(given["coordinator"], int(given["num_processes"]), int(given["process"]))


def test_a_process_on_its_own_decides_alone():
    from common.training import process

    assert process.is_first() and process.count() == 1
    assert process.any_of(True) and not process.any_of(False)
    assert process.from_first("a plan") == "a plan"
