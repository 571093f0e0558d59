"""A sweep on a real SLURM cluster of one node, which this test starts and stops."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.slurm

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "tests" / "slurm" / "cluster.sh"
SECONDS = 600
SWEEP = [sys.executable, "launch.py", "sweep", "--config=tests/config/tiny_rows.py"]
SWEEP += ["--config.num_steps=400", "--config.evaluation.every=100"]


def run_cluster(action, folder):
    return subprocess.run(
        ["bash", str(CLUSTER), action, str(folder)], capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """The environment of commands that talk to the cluster."""
    pytest.importorskip("submitit", reason="the extra slurm is not installed")
    folder = tmp_path_factory.mktemp("cluster")
    done = run_cluster("start", folder)
    if done.returncode == 3:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr
    yield {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
    run_cluster("stop", folder)


def results(workdir):
    return {
        path.parent.name: json.loads(path.read_text())["params_sha256"]
        for path in workdir.glob("rows/*/result.json")
    }


def await_file(found, process):
    for _ in range(SECONDS * 5):
        if paths := sorted(found()):
            return paths[0]
        assert process.poll() is None, process.communicate()
        time.sleep(0.2)
    raise AssertionError("nothing came")


def test_preempted_sweep_ends_as_the_same_sweep_in_local_processes(cluster, tmp_path):
    words = [*SWEEP, f"--workdir={tmp_path / 'slurm'}", "--executor=slurm", "--time_limit=30"]
    launcher = subprocess.Popen(
        [*words, "--partition=all", "--slurm=cpus_per_task=1"],
        cwd=ROOT,
        env=cluster,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    path = await_file(lambda: (tmp_path / "slurm").glob("rows/dann-seed0-*/time.jsonl"), launcher)
    population = json.loads((path.parent / "config.json").read_text())["population"]
    job = json.loads((tmp_path / "slurm" / "slurm" / "jobs.json").read_text())[population]
    subprocess.run(["scancel", "--signal=USR2", job], env=cluster, check=True)
    said, _ = launcher.communicate(timeout=SECONDS)
    assert launcher.returncode == 0, said
    starts = json.loads((path.parent / "config.json").read_text())["starts"]
    assert [own["first_step"] > 0 for own in starts] == [False, True]

    again = subprocess.run(words, cwd=ROOT, env=cluster, capture_output=True, text=True)
    assert again.returncode == 0 and "2 runs, 0 to train, in 0 programs" in again.stdout

    local = [*SWEEP, f"--workdir={tmp_path / 'local'}", "--executor=local"]
    done = subprocess.run(local, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(results(tmp_path / "local")) == 6
    assert results(tmp_path / "slurm") == results(tmp_path / "local")
