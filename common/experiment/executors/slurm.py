"""Trains populations as jobs of a SLURM cluster, through submitit."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from common.experiment import json_file
from common.experiment.executors import schedule, table
from common.experiment.executors.slurm_job import SlurmJob
from common.experiment.executors.task import (
    Population,
    Settings,
    Task,
    Train,
    last_line,
    look,
    make_logs,
    make_tasks,
    of_runs,
)
from common.experiment.outcome import FAILED, RunFailed, UsageError, writing

PROJECT = Path(__file__).resolve().parents[3]
# Jobs of an array at a time, and how often one may reach its time limit and be queued again.
PARALLEL, TIMEOUTS = 256, 1000
# Seconds before a job's time limit at which it is told to save.
NOTICE = 90
MINUTES = 60


def check_cluster() -> None:
    """Refuses what cannot work: no submitit, or no SLURM on this machine.

    Raises:
        UsageError: With what is missing.
    """
    try:
        import submitit
    except ImportError:
        raise UsageError(
            "--executor=slurm needs submitit; install it with: pip install -c constraints.txt -e "
            '".[slurm]"'
        ) from None
    if submitit.SlurmExecutor.affinity() < 0:
        raise UsageError(
            "--executor=slurm finds no srun on this machine; start it where jobs are submitted, or "
            "use --executor=local"
        )


def make_parameters(cluster: Mapping[str, Any], slots: int | None) -> dict[str, Any]:
    """Makes the parameters of submitit.

    Args:
        cluster: `partition`, `account`, `time_limit` in minutes, and options of sbatch.
        slots: Jobs at a time.

    Returns:
        Parameters of its `SlurmExecutor`.
    """
    own = {name: value for name, value in cluster.items() if name != "time_limit"}
    parameters: dict[str, Any] = {
        "job_name": "adaptax",
        "time": int(cluster.get("time_limit", MINUTES)),
        "signal_delay_s": NOTICE,
        "array_parallelism": slots or PARALLEL,
        "stderr_to_stdout": True,
        # submitit's process on the node imports the job from this checkout.
        "setup": [f"export PYTHONPATH={shlex.quote(str(PROJECT))}${{PYTHONPATH:+:$PYTHONPATH}}"],
        "additional_parameters": own,
    }
    if "cpus_per_task" in own:
        # Since SLURM 22.05 a step does not take it over from its job.
        parameters["srun_args"] = [f"--cpus-per-task={own['cpus_per_task']}"]
    return parameters


def run_on_cluster(
    populations: Sequence[Population], train: Train, settings: Settings
) -> dict[str, str]:
    """Trains populations as jobs of SLURM: a wave is an array.

    Which job trains which population is kept in a file, so that a launcher that is started again
    finds the jobs that it submitted before.

    Args:
        populations: Resolved configs.
        train: Unused.
        settings: `slots` are jobs at a time; `cluster` is what they ask for.

    Returns:
        By run id, why a run was not trained.

    Raises:
        UsageError: Something is missing to submit jobs.
        RunFailed: SLURM refuses a job, or a file cannot be written.
        Stopped: A signal came; the jobs go on.
    """
    del train
    check_cluster()
    if not populations:
        return {}
    import submitit
    from submitit.core.utils import FailedJobError

    tasks = make_tasks(populations, settings.command)
    make_logs(tasks)
    place = Path(populations[0][0]["runtime"]["workdir"]).absolute() / "slurm"
    with writing(place):
        place.mkdir(parents=True, exist_ok=True)
    executor = submitit.SlurmExecutor(place, max_num_timeout=TIMEOUTS)
    executor.update_parameters(**make_parameters(settings.cluster, settings.slots))
    known = _read_jobs(place / "jobs.json")

    def start(pairs: Sequence[tuple[int, Task]]) -> list[tuple[Any, Task]]:
        found: dict[str, Any] = {}
        for _, task in pairs:
            # A job of an earlier launcher; one that has ended is of no use any more.
            name = known.pop(task.name, None)
            job = submitit.SlurmJob(place, name) if name else None
            if job and not job.done(force_check=True) and job.state != "UNKNOWN":
                found[task.name] = job
        fresh = [task for _, task in pairs if task.name not in found]
        jobs: list[Any] = []
        try:
            if fresh:
                with executor.batch():
                    jobs = [
                        executor.submit(SlurmJob(task.command, str(task.log.absolute())))
                        for task in fresh
                    ]
        except FailedJobError as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            raise RunFailed(f"sbatch refused the jobs: {' '.join(lines[-1:])}") from error
        found |= {task.name: job for task, job in zip(fresh, jobs, strict=True)}
        jobs_of = {name: job.job_id for name, job in found.items()}
        json_file.write_json(place / "jobs.json", _read_jobs(place / "jobs.json") | jobs_of)
        for task in fresh:
            settings.say(f"{task.name} ({task.title}) is job {found[task.name].job_id}")
        return [(found[task.name], task) for _, task in pairs]

    backend = schedule.Backend(sys.maxsize, start, _poll, None, lambda slot: "SLURM")
    with table.open_table(tasks, settings.say) as show:
        given_up = schedule.run_tasks(
            tasks, backend, settings.request, retries=settings.retries, look=look, show=show
        )
    return of_runs(tasks, given_up)


def _poll(handle: tuple[Any, Task]) -> schedule.Ending | None:
    """Says how a job ended; None while it waits or runs, also for the second time."""
    job, task = handle
    if not job.done():
        return None
    if not job.paths.result_pickle.exists():
        state = job.state
        reason = f"SLURM says {state} of job {job.job_id}; see {job.paths.stdout}"
        return schedule.Ending(FAILED, reason, is_final=state.startswith("CANCELLED"))
    exception = job.exception()
    if exception is not None:
        lines = [line.strip() for line in str(exception).splitlines() if line.strip("- \n")]
        reason = f"job {job.job_id} failed: {' '.join(lines[-3:])}"
        return schedule.Ending(FAILED, reason)
    code = job.result()
    said = last_line(task.log)
    return schedule.Ending(code, f"exit code {code} of job {job.job_id}: {said} (see {task.log})")


def _read_jobs(path: Path) -> dict[str, str]:
    """Reads which job trains which population."""
    return json_file.read_json(path) if path.is_file() else {}
