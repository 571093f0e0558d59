"""Speed beside PyTorch: step time, member-steps a second, memory, evaluation, whole runs.

    python benchmarks/speed.py --torch_python=OTHER/bin/python

Every library is a process of its own (PyTorch's may have another Python), all of them started
first; they then take turns, a round each, while the others wait. The table holds medians over
rounds, and ratios are medians of the ratios of neighbouring rounds, so that what else the machine
does strikes both. Writes one file of measurements for this machine into `docs/performance`, and
from all files there the table in `docs/performance.md` and its plot. What this machine cannot
measure in reasonable time, or has no PyTorch for, the table says.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

from absl import app, flags

ROOT = Path(__file__).resolve().parents[1]
# Several processes share an accelerator: none takes all of its memory before it needs it.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
sys.path[:0] = [str(ROOT)]

from benchmarks import speed_table  # noqa: E402
from benchmarks.speed_case import CASES, PEAKS  # noqa: E402

_TORCH = flags.DEFINE_string("torch_python", sys.executable, "Python that has PyTorch.")
_ROUNDS = flags.DEFINE_integer("rounds", 7, "Rounds of every comparison.", lower_bound=1)
_STEPS = flags.DEFINE_integer("steps", 0, "Steps of a round; 0: as many as suit the case.")
_CASES = flags.DEFINE_list("cases", None, "Which cases; all that suit the machine by default.")
_WHOLE = flags.DEFINE_integer("whole_steps", 2000, "Steps of whole runs; 0 leaves them out.")
_OUTPUT = flags.DEFINE_string("output", str(ROOT / "docs"), "Where the page and its folder are.")
_NAME = flags.DEFINE_string("machine", "", "The machine's name in the table.")

# What is compared, by platform: case, precision, members of the populations beside the lone run.
COMPARED = {
    "cpu": (("lenet", "float32", (8,)), ("embedded", "float32", (8,))),
    "gpu": (
        ("lenet", "float32", (64,)),
        ("embedded", "float32", (64,)),
        *(("resnet50", precision, ()) for precision in ("bfloat16", "float32")),
        *(("vit_b16", precision, ()) for precision in ("bfloat16", "float32")),
    ),
}
VARIANTS = {"cpu": ("eager", "compile"), "gpu": ("eager", "compile", "cuda_graphs")}
WHOLE_MEMBERS = 8
# Rounds that also evaluate.
EVALUATIONS = 3


class Worker:
    """A process that trains when it is asked to."""

    def __init__(self, python: str, script: str, *arguments: str):
        """Starts it.

        Args:
            python: The interpreter.
            script: A file beside this one.
            *arguments: Its arguments.
        """
        command = [python, str(ROOT / "benchmarks" / script), *arguments]
        self.command = " ".join(command)
        self.process: subprocess.Popen[str] = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, **request) -> dict:
        """Sends a request.

        Args:
            **request: See `speed_adaptax.serve`.

        Returns:
            The answer.

        Raises:
            EOFError: The process has ended; it has said why.
        """
        assert self.process.stdin and self.process.stdout
        try:
            print(json.dumps(request), file=self.process.stdin, flush=True)
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise EOFError(f"a worker has ended: {self.command}")
        return json.loads(line)

    def stop(self) -> None:
        """Ends it."""
        assert self.process.stdin
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            pass
        self.process.wait()


def compare(name: str, precision: str, members: tuple[int, ...], kind: str) -> list[dict]:
    """Measures a case under both libraries, in turns.

    Args:
        name: The case.
        precision: Of the passes.
        members: Sizes of populations beside the lone run.
        kind: `cpu` or `gpu`.

    Returns:
        One record for each worker, the lone run of Adaptax first. Its `ratio` is its speed, in
        member-steps a second, as a multiple of eager PyTorch's.
    """
    workers = {
        ("adaptax", count): Worker(
            *(sys.executable, "speed_adaptax.py", name, precision, str(count), "0", "")
        )
        for count in (1, *members)
    }
    for variant in VARIANTS[kind]:
        arguments = (_TORCH.value, "speed_torch.py", name, precision, variant)
        workers["torch " + variant, 1] = Worker(*arguments)
    steps = _STEPS.value or CASES[name].steps[kind == "gpu"]
    # A population takes as many steps, all members together.
    lengths = {key: max(4, steps // key[1]) for key in workers}
    answers = {key: [] for key in workers}
    evaluated = {key: [] for key in workers}
    try:
        for key, worker in list(workers.items()):
            # The first call compiles, the second is warm.
            try:
                worker.ask(do="train", steps=lengths[key])
                worker.ask(do="evaluate")
                worker.ask(do="train", steps=lengths[key])
            except EOFError as error:
                print(f"{name} {precision}: not measured: {error}", file=sys.stderr)
                workers.pop(key).stop()
        for number in range(_ROUNDS.value):
            for key, worker in workers.items():
                taken = worker.ask(do="train", steps=lengths[key])["seconds"]
                answers[key].append(taken / lengths[key])
            for key, worker in workers.items() if number < EVALUATIONS else ():
                evaluated[key].append(worker.ask(do="evaluate")["seconds"])
        about = {key: worker.ask(do="about") for key, worker in workers.items()}
    finally:
        for worker in workers.values():
            worker.stop()
    counts = {own["parameters"] for own in about.values()}
    assert len(counts) == 1, f"{name}: networks of {counts} parameters are compared"
    records, beside = [], answers.get(("torch eager", 1))
    for (library, count), own in about.items():
        seconds = answers[library, count]
        record = {"case": name, "precision": precision, "library": library, "members": count}
        record |= own | {"seconds": statistics.median(seconds), "rounds": len(seconds)}
        record["spread"] = [min(seconds), max(seconds)]
        record["evaluation"] = statistics.median(evaluated[library, count])
        if beside:
            ratios = [count * other / mine for mine, other in zip(seconds, beside, strict=True)]
            record["ratio"] = statistics.median(ratios)
        record["share_of_peak"] = share_of_peak(record)
        records.append(record)
    return records


def share_of_peak(record: dict) -> float | None:
    """Compares what a step computes with what the accelerator can do.

    Args:
        record: A measurement.

    Returns:
        A share; None where the operations or the device's peak are not known. A backward pass
        counts as two forward passes.
    """
    case = CASES[record["case"]]
    peaks = next((own for name, own in PEAKS.items() if name in record["device"]), None)
    if not peaks or not case.products:
        return None
    operations = 2 * case.products * 3 * 2 * case.batch * record["members"]
    return operations / record["seconds"] / peaks[record["precision"]]


def time_whole(members: int, num_steps: int, cache: str = "") -> float:
    """Trains the embedded benchmark's DANN row in a fresh process.

    Args:
        members: Size of the population.
        num_steps: Steps of the run.
        cache: Folder of compiled programs; without one, all is compiled.

    Returns:
        Seconds from the process's start to its end.
    """
    began = time.perf_counter()
    arguments = ("embedded", "float32", str(members), str(num_steps), cache)
    script = str(ROOT / "benchmarks" / "speed_adaptax.py")
    subprocess.run([sys.executable, script, *arguments], check=True)
    return time.perf_counter() - began


def compare_whole(num_steps: int) -> dict:
    """Times runs alone and together, compilation included, in turns.

    Args:
        num_steps: Steps of each run.

    Returns:
        A record.
    """
    alone = [time_whole(1, num_steps)]
    together = [time_whole(WHOLE_MEMBERS, num_steps)]
    alone.append(time_whole(1, num_steps))
    return {
        "members": WHOLE_MEMBERS,
        "steps": num_steps,
        "alone": statistics.median(alone),
        "together": statistics.median(together),
        "times_faster": WHOLE_MEMBERS * statistics.median(alone) / statistics.median(together),
    }


def describe_machine() -> dict:
    """Names the machine, its processor and its accelerator, if any."""
    import jax

    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = next(line.split(":")[1].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        processor = platform.processor() or platform.machine()
    device = jax.devices()[0]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "name": _NAME.value,
        "processor": processor,
        "cores": cores,
        "accelerator": "" if device.platform == "cpu" else device.device_kind,
        "python": platform.python_version(),
        "load_before": os.getloadavg()[0],
    }


def main(_: list[str]) -> None:
    """Measures and writes."""
    machine = describe_machine()
    kind = "gpu" if machine["accelerator"] else "cpu"
    records = []
    for name, precision, members in COMPARED[kind]:
        if _CASES.value is None or name in _CASES.value:
            records += compare(name, precision, members, kind)
            speed_table.say([own for own in records if own["case"] == name])
    done = {record["case"] for record in records}
    missing = [name for name in CASES if name not in done]
    whole = compare_whole(_WHOLE.value) if _WHOLE.value else None
    machine["load_after"] = os.getloadavg()[0]
    measured = {"machine": machine, "records": records, "not_measured": missing, "whole": whole}
    folder = Path(_OUTPUT.value) / "performance"
    folder.mkdir(parents=True, exist_ok=True)
    title = machine["name"] or machine["accelerator"] or machine["processor"]
    stem = "".join(letter if letter.isalnum() else "_" for letter in title).strip("_").lower()
    (folder / f"{stem}.json").write_text(json.dumps(measured, indent=1) + "\n")
    speed_table.write(Path(_OUTPUT.value) / "performance.md", folder)


if __name__ == "__main__":
    app.run(main)
