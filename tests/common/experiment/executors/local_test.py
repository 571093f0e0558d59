import io
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from common.experiment import folder, json_file, lock, only, sweep
from common.experiment.executors import flag, local, table, task
from common.experiment.executors.schedule import Status
from common.experiment.outcome import HandedOver, Stopped, StopRequest, UsageError
from configs import base, method_row
from tests.tiny_run import make_method, tiny, tiny_family

ROOT = Path(__file__).parents[4]
CONFIG = "tests/config/tiny_rows.py"


def values(**given):
    return {name: None for name in (*flag.OF_LAUNCHER, "only")} | {"executor": "local"} | given


def test_accelerators_are_those_that_a_variable_names_or_those_of_the_device_files(tmp_path):
    for name in ("nvidia0", "nvidia1", "nvidia10", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    find = local.find_accelerators
    assert find({}, tmp_path) == ("CUDA_VISIBLE_DEVICES", ("0", "1", "10"))
    assert find({"CUDA_VISIBLE_DEVICES": "3,GPU-a"}, tmp_path).names == ("3", "GPU-a")
    assert find({"CUDA_VISIBLE_DEVICES": ""}, tmp_path).names == ()
    assert find({"HIP_VISIBLE_DEVICES": "1"}, tmp_path) == ("HIP_VISIBLE_DEVICES", ("1",))
    assert find({"JAX_PLATFORMS": "cpu"}, tmp_path).names == ()


def test_slots_take_turns_on_accelerators_and_share_their_memory():
    two = local.Accelerators("CUDA_VISIBLE_DEVICES", ("4", "7"))
    made = [local.environment_of(slot, two, 2, {"A": "1"}) for slot in range(4)]
    assert [own["CUDA_VISIBLE_DEVICES"] for own in made] == ["4", "7", "4", "7"]
    assert {own[local.MEMORY] for own in made} == {"0.450"} and made[0]["A"] == "1"
    assert local.MEMORY not in local.environment_of(0, two, 1, {})
    assert local.environment_of(0, two, 2, {local.MEMORY: ".2"})[local.MEMORY] == ".2"
    assert local.environment_of(1, local.Accelerators("X", ()), 2, {"A": "1"}) == {"A": "1"}


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system pins no process")
def test_slots_of_a_processor_have_cores_of_their_own(tmp_path, monkeypatch):
    assert [local.cores_of(slot, 2, [0, 1, 4, 5]) for slot in range(2)] == [{0, 1}, {4, 5}]
    assert [local.cores_of(slot, 2, [3, 4, 5]) for slot in range(2)] == [{3}, {4, 5}]
    parts = [local.cores_of(slot, 3, [0, 1]) for slot in range(3)]
    assert all(len(own) == 1 for own in parts) and set.union(*parts) == {0, 1}
    assert local.cores_of(0, 1, [0, 1]) == {0, 1}
    monkeypatch.setattr(local, "cores_of", lambda slot, slots, cores: {cores[-1]})
    # Set just after the process has started, before it does anything of weight.
    code = "time.sleep(0.5), sys.exit(str(os.sched_getaffinity(0)))"
    _, failures, _ = children(tmp_path, monkeypatch, code, lambda own: task.OPEN, retries=0)
    (reason,) = failures.values()
    assert reason.startswith(f"exit code 1: {{{max(os.sched_getaffinity(0))}}} (see ")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (
            {"executor": "lcoal"},
            "--executor is 'lcoal'; did you mean 'local'? legal are in_process",
        ),
        ({"executor": "print", "slots": 2}, "--slots is of --executor=local and --executor=slurm"),
        ({"partition": "gpu"}, "--partition is of --executor=slurm, not of --executor=local"),
        ({"only": "x"}, "--only trains one population in this process; leave out --executor=local"),
    ],
)
def test_flags_that_would_be_ignored_are_refused(given, sentence):
    with pytest.raises(ValueError) as error:
        flag.check(values(**given))
    assert sentence in str(error.value)


def test_command_line_of_a_population_keeps_all_but_the_executors_flags(monkeypatch):
    words = ["--config", "a b.py:x=1", "--slots", "2", "--executor=local", "--config.seed=3"]
    monkeypatch.setattr(sys, "argv", ["launch.py", "sweep", *words])
    monkeypatch.setattr(sys, "orig_argv", ["python", "-X", "utf8", *sys.argv])
    command = flag.worker_command("sweep", words)
    kept = ("--config", "a b.py:x=1", "--config.seed=3")
    assert command == (sys.executable, "-X", "utf8", "launch.py", "sweep", *kept)


CHILD = "import os, signal, sys, time; from pathlib import Path; ({})"


def children(tmp_path, monkeypatch, code, look, retries=1, request=None):
    """Runs one population, in whose place a short program runs."""
    config = tiny(tmp_path, "source_only", num_steps=20)
    command = (sys.executable, "-c", CHILD.format(code))
    monkeypatch.setattr(local, "look", look)
    said = []
    settings = task.Settings(
        StopRequest() if request is None else request,
        *(said.append, command, dict(os.environ), None, retries),
    )
    return config, local.run_locally([[config]], lambda own: {}, settings), said


def test_process_that_is_killed_is_told_with_the_signal_and_its_log(tmp_path, monkeypatch):
    config, failures, said = children(
        tmp_path, monkeypatch, "print('hello'), sys.stdout.flush(), os.kill(os.getpid(), 9)",
        lambda own: task.OPEN,
    )  # fmt: skip
    (name,) = failures
    assert name == folder.run_id(config)
    assert "its process was killed by SIGKILL; see " in failures[name]
    log = Path(failures[name].rpartition("see ")[2])
    assert log.read_text() == "hello\nhello\n"
    assert said[0].endswith("running: slot 0") and "attempt 2" in " ".join(said)


def test_last_words_of_a_process_are_the_reason(tmp_path, monkeypatch):
    _, failures, _ = children(
        tmp_path, monkeypatch, "sys.exit('failed: no room')", lambda own: task.OPEN, retries=0
    )
    (reason,) = failures.values()
    assert reason.startswith("exit code 1: failed: no room (see ")


def test_request_reaches_processes_as_a_signal_which_they_may_answer(tmp_path, monkeypatch):
    request, mark = StopRequest(), tmp_path / "mark"
    code = (
        "signal.signal(15, lambda *_: (Path(sys.argv[-1]).with_name('saved').touch(), "
        f"sys.exit(75))), Path({str(mark)!r}).touch(), time.sleep(60)"
    ).replace("Path(sys.argv[-1])", f"Path({str(mark)!r})")

    def look(own):
        del own
        return task.OPEN

    def show(*_):
        while not mark.exists():
            time.sleep(0.01)
        request.received = "SIGTERM"

    monkeypatch.setattr(table, "_make_lines", lambda tasks, say: show)
    with pytest.raises(Stopped, match="SIGTERM: run the same command to go on"):
        children(tmp_path, monkeypatch, code, look, request=request)
    assert (tmp_path / "saved").exists()


def test_lock_is_seen_without_being_taken(tmp_path):
    assert not lock.is_held([tmp_path])
    with lock.hold([tmp_path]):
        assert lock.is_held([tmp_path / "other", tmp_path])
    assert not lock.is_held([tmp_path]) and not list(tmp_path.iterdir())


def test_table_leaves_out_some_of_those_that_wait(tmp_path):
    runs = [tiny(tmp_path, "source_only", seed=seed) for seed in range(25)]
    tasks = task.make_tasks([[run] for run in runs], ["launch"])
    status = {own.name: Status("waits") for own in tasks}
    status[tasks[-1].name] = Status("running", "slot 0", 2, time.monotonic())
    folder.run_folder(runs[-1]).mkdir(parents=True)
    json_file.append_records(folder.run_folder(runs[-1]) / "time.jsonl", [{"step": 7, "start": 0}])
    file = io.StringIO()
    Console(file=file, width=120).print(table.draw(tasks, status))
    lines = file.getvalue().splitlines()
    assert lines[0].startswith("25 populations: 24 waits, 1 running")
    assert sum("waits" in line for line in lines[1:]) == table.ROWS - 1
    assert any(f"7/{runs[-1]['num_steps']}" in line and "attempt 2" in line for line in lines)


def test_runs_wait_for_those_that_they_start_from(tmp_path):
    family = tiny_family(tmp_path, "fine_tune", num_steps=20)
    parent, child = family
    waves = []

    def execute(populations, train):
        waves.append([[folder.run_id(own) for own in group] for group in populations])
        return {}

    failures = sweep.run_sweep(family, make_method, StopRequest(), [], lambda text: None, execute)
    assert waves == [[[folder.run_id(parent)]], []]
    reason = f"it starts from {folder.run_id(parent)}, which has not finished"
    assert failures == {folder.run_id(child): reason}
    with pytest.raises(Stopped, match=f"{reason}: run the same command once it has"):
        train_only(family, [child])
    folder.run_folder(parent).mkdir(parents=True)
    json_file.write_json(folder.run_folder(parent) / "failure.json", {"reason": "lost"})
    assert train_only(family, [child]) == {
        folder.run_id(child): f"it starts from {folder.run_id(parent)}, which failed: lost"
    }


def train_only(configs, population):
    name = folder.population_folder(population).name
    return only.train_only(configs, name, make_method, StopRequest(), [], lambda text: None)


def test_population_is_found_by_the_plan_and_without_one(tmp_path):
    runs = [tiny(tmp_path, "source_only", seed=seed) for seed in range(3)]
    name = folder.population_folder(runs).name
    assert only.find_population(runs, name) == runs
    assert sweep.plan(runs[:2]) == [runs[:2]]
    begun = folder.population_folder(runs[:2]).name
    assert only.find_population(runs, begun) == runs[:2]
    with pytest.raises(UsageError, match="--only is 'x', which is no population; legal are "):
        only.find_population(runs, "x")


def grid(workdir):
    from common.experiment import family

    def resolve(own):
        own.runtime.workdir = str(workdir)
        return family.resolve_family(own, {}, base.get_config(), method_row)

    runs = sweep.expand(str(ROOT / CONFIG), None, resolve)
    return [run for run in runs if run["method"] != "fine_tune"]


def test_sweep_in_processes_goes_on_where_a_printed_command_line_left_off(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(ROOT)
    words = [f"--config={CONFIG}", f"--workdir={tmp_path}"]
    monkeypatch.setattr(sys, "argv", ["launch.py", "sweep", *words])
    monkeypatch.setattr(sys, "orig_argv", [sys.executable, *sys.argv])
    runs, request, said = grid(tmp_path), StopRequest(), []

    def swept(executor, **given):
        execute = flag.make_execute(values(executor=executor, **given), words, request, said.append)
        return sweep.run_sweep(runs, make_method, request, [], said.append, execute)

    with pytest.raises(HandedOver, match="2 command lines"):
        swept("print")
    first, second = capsys.readouterr().out.splitlines()
    command = shlex.split(first)
    assert command[:3] == [sys.executable, "launch.py", "sweep"] and first != second
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [folder.is_done(run) for run in runs] == [True, True, False, False]
    with pytest.raises(HandedOver, match="1 command lines"):
        swept("print")
    assert capsys.readouterr().out.splitlines() == [second]

    result = (folder.run_folder(runs[0]) / "result.json").read_bytes()
    assert swept("local", slots=2) == {}
    assert all(map(folder.is_done, runs))
    assert (folder.run_folder(runs[0]) / "result.json").read_bytes() == result
    assert sum("running" in line for line in said) == 1
    assert swept("print") == {}
    assert not (tmp_path / "rows" / "populations").exists()


def test_failed_runs_are_told_with_their_own_reason(tmp_path):
    runs = grid(tmp_path)
    for run in runs:
        folder.run_folder(run).mkdir(parents=True)
        json_file.write_json(folder.run_folder(run) / "failure.json", {"reason": "lost"})
    assert len(runs) == 4
    failures = sweep.run_sweep(
        runs, make_method, StopRequest(), [], lambda text: None, lambda *_: {}
    )
    assert set(failures.values()) == {"lost"} and len(failures) == len(runs)
