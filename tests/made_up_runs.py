"""Run folders with plausible numbers, written without training anything."""

import json

import numpy as np

from common.experiment import report

SEEDS = (100, 101, 102, 103)
ACCURACY = {
    "source_only": (0.550, 0.575, 0.600, 0.575),
    "dann": (0.750, 0.800, 0.775, 0.725),
    "train_on_target": (0.990, 0.985, 0.990, 0.995),
}
DOMAINS = {
    "source_only": ["source"],
    "dann": ["source", "target"],
    "train_on_target": ["target_labelled"],
}
CLASSES = [str(index) for index in range(10)]
# Seven records at 10 ms a step; the first holds the compilation, the second start the same again.
TIMES = [(100, 9.0, 0), (200, 10.0, 0), (300, 11.0, 0), (400, 12.0, 0)]
TIMES += [(500, 8.0, 1), (600, 9.0, 1), (700, 10.0, 1)]


def write_lines(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def make_confusion(accuracy, weak_class):
    """Makes 400 test pictures, 40 a class, right as often as said; one class is worse."""
    total = round(400 * accuracy)
    right = np.full(10, total // 10) + (np.arange(10) < total % 10)
    if right.max() < 40:
        right += 1
        right[weak_class] -= 10
    confusion = np.diag(right)
    confusion[range(10), (np.arange(10) + 1) % 10] = 40 - right
    return confusion.tolist()


def write_run(
    experiment, method, seed, accuracy, *, task=("synthetic_digits", "digits"), **changes
):
    """Writes a run folder as training does; returns it."""
    strength = changes.get("strength", 0.3)
    name = f"{method}-seed{seed}-{strength}"
    folder = experiment / name
    folder.mkdir(parents=True)
    config = {
        "experiment": experiment.name,
        "method": method,
        "seed": seed,
        "source": task[0],
        "target": task[1],
        "num_steps": 700,
        "domains": DOMAINS.get(method, ["source", "target"]),
        "model": {"name": "cnn", "normalization": changes.get("normalization", "group")},
        "data": {"batch_size": 64, "split_seed": seed},
        "alignment": {"domain_adversarial": {"strength": strength}} if method == "dann" else {},
        "runtime": {"workdir": f"runs{seed}"},
    }
    start = {"devices": ["cpu", "cpu"], "hardware": "A processor", "runtime": {}}
    about = {"git_commit": "abc123", "versions": {"jax": "0.10.2"}, "starts": [start]}
    (folder / "config.json").write_text(json.dumps({"run_id": name, "config": config, **about}))

    records = []
    for step in range(100, 701, 100):
        record = {"step": step, "progress": step / 700, "train/loss": 1.0, "train/task_loss": 1.0}
        if method == "dann":
            record["train/domain_adversarial/domain_accuracy"] = changes.get("domain", 0.6)
            record["train/domain_adversarial/reversal_strength"] = strength
        if step % 200 == 100:
            record["oracle/target_test_accuracy"] = accuracy
        records.append(record | changes.get("evaluations", {}).get(step, {}))
    write_lines(folder / "metrics.jsonl", records)
    names = ("step", "seconds", "start")
    write_lines(
        folder / "time.jsonl",
        [{**dict(zip(names, row, strict=True)), "members": 4} for row in TIMES],
    )

    def choice(step, gain):
        return {
            "step": step,
            "source_val_accuracy": 1.0,
            "oracle/target_test_accuracy": accuracy + gain,
            "oracle/target_test_confusion": make_confusion(accuracy, 4 if method == "dann" else 0),
        }

    result = {
        "run_id": name,
        "status": "done",
        "experiment": experiment.name,
        "task": ">".join(task),
        "method": method,
        "seed": seed,
        "steps": 700,
        "target_test_seen": False,
        "sees_target_pictures": method != "source_only",
        "classes": CLASSES,
        "parameters": {"total": 58858, "trained": 58858},
        "selections": {
            "last": choice(700, 0),
            "oracle": choice(500, 0.005),
            "source_val": choice(300, -0.05),
            "information_maximization": choice(500, -0.01),
            **changes.get("selections", {}),
        },
        "warnings": [],
    }
    (folder / "result.json").write_text(json.dumps(result))
    return folder


def write_outputs(folder, seed):
    rng = np.random.default_rng(seed)
    label = np.arange(40) % 10
    np.savez_compressed(
        folder / "outputs.npz",
        value_max=16.0,
        **{
            "source_val/features": rng.normal(size=(40, 8)),
            "source_val/label": label,
            "source_val/prediction": label,
            "source_val/image": rng.integers(0, 17, (40, 8, 8, 1)).astype(np.uint8),
            "target_test/features": rng.normal(size=(40, 8)),
            "target_test/prediction": rng.integers(0, 10, 40),
            "target_test/image": np.full((40, 8, 8, 1), seed % 16, np.uint8),
            "oracle/target_test_label": label,
        },
    )


def write_experiment(workdir, name="digits"):
    experiment = workdir / name
    for method, values in ACCURACY.items():
        for seed, accuracy in zip(SEEDS, values, strict=True):
            folder = write_run(experiment, method, seed, accuracy)
            if seed == SEEDS[1]:
                write_outputs(folder, seed)
    (experiment / "populations" / "0123").mkdir(parents=True)
    (experiment / "report").mkdir()
    return experiment


def summarize(*folders):
    return report.summarize(report.read_runs(folders))


def row_of(summary, name, selection="last"):
    (row,) = [r for r in summary["rows"] if (r["name"], r["selection"]) == (name, selection)]
    return row


# Closes elements, opens others, breaks tables and Markdown, and means something to LaTeX.
HOSTILE = (
    '<img src=x onerror="document.title=1">"\'&amp;|`*_~[x](javascript:alert(1)) ![y](http://y.z) '
    "</summary></details></table>\n\n<script>document.title=2</script>\n# head\n"
    "$x^2$ \\input{a}%#\u202e"
)


def hostile_experiment(workdir):
    """Writes an experiment in which every text of a run is an attack on the report."""
    experiment = write_experiment(workdir, '<img src=x onerror="document.title=1">')
    for path in experiment.glob("*-seed*/result.json"):
        result = json.loads(path.read_text())
        if result["method"] == "dann":
            result["method"] = HOSTILE
        result |= {"experiment": HOSTILE, "task": f"a{HOSTILE}>b", "warnings": [HOSTILE]}
        result["classes"] = [f"{index}{HOSTILE}" for index in range(10)]
        result["selections"][HOSTILE] = result["selections"]["last"]
        path.write_text(json.dumps(result))
        path = path.with_name("config.json")
        about = json.loads(path.read_text())
        about["config"] |= {HOSTILE: HOSTILE, "seed": about["config"]["seed"]}
        about |= {"git_commit": HOSTILE, "versions": {HOSTILE: HOSTILE}}
        about["starts"][0] |= {"hardware": HOSTILE, "devices": [HOSTILE]}
        path.write_text(json.dumps(about))
        with (path.parent / "metrics.jsonl").open("a") as file:
            file.write(json.dumps({"step": 800, "flags": [HOSTILE]}) + "\n")
    failed = write_run(experiment, "dann", 104, 0.5)
    (failed / "failure.json").write_text(json.dumps({"reason": HOSTILE, "step": 1}))
    failed.rename(experiment / "<script>document.title=3<|script>")
    return experiment
