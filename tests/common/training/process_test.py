"""A run whose batch is shared by two processes with two devices each."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np

from tests import coupled, tiny

ROOT = Path(__file__).resolve().parents[3]


def free_port() -> str:
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
        return str(own.getsockname()[1])


def test_two_processes_read_half_a_batch_each_and_train_the_same_run(tmp_path):
    port, files = free_port(), [tmp_path / f"{number}.npz" for number in range(2)]
    environment = {name: own for name, own in os.environ.items() if name != "JAX_NUM_CPU_DEVICES"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.process", str(number), port, str(file)],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number, file in enumerate(files)
    ]
    try:
        for process in processes:
            said, _ = process.communicate(timeout=240)
            assert process.returncode == 0, said
    finally:
        for process in processes:
            process.kill()

    config = coupled.make_config("dann", {"model.normalization": "separate"})
    run = tiny.make_run(config, method=coupled.make_method("dann", config))
    alone = tiny.params_of(tiny.train(run, 3))
    results = [dict(np.load(file)) for file in files]
    for result in results:
        assert result["sizes"].tolist() == [4]
        for path, value in alone.items():
            np.testing.assert_allclose(result[path.replace("/", "|")], value, 1e-5, 1e-5)
    for path in results[0]:
        np.testing.assert_array_equal(results[0][path], results[1][path])
