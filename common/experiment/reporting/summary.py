"""The comparison as plain data: the content of `summary.json`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from common.experiment.json_file import as_json
from common.experiment.reporting.across import compare_across
from common.experiment.reporting.choice import choose_settings
from common.experiment.reporting.fold_section import describe_folds
from common.experiment.reporting.grouping import (
    differing_keys,
    group_by_task,
    method_of,
    rows_of,
    settings_of,
    with_same_data,
)
from common.experiment.reporting.label_budget import label_budgets
from common.experiment.reporting.measured import measure_task
from common.experiment.reporting.pretraining import describe_pretraining
from common.experiment.reporting.published import compare_with_published
from common.experiment.reporting.row import make_row, make_unlabelled_row
from common.experiment.reporting.rule_order import selection_order
from common.experiment.reporting.rule_quality import judge_rules
from common.experiment.reporting.run_record import Run, RunsBySeed, is_number, part_of

# A discriminator that is right less often than this is outrun by the reversed gradient.
OUTRUN_ACCURACY, OUTRUN_SHARE = 0.45, 0.05


def summarize(runs: Sequence[Run]) -> dict[str, Any]:
    """Compares the rows of finished runs.

    Runs of one method whose settings differ are different rows, named by what differs.

    Args:
        runs: All runs, finished or not.

    Returns:
        The content of `summary.json`: `rows` (the default rule's first, the oracle's last),
        `tasks`, `unlabelled` for tasks whose target has no labels, `measured` for those whose
        primary metric is no accuracy, `pretraining` for rows that learn no prediction, `across`
        for experiments with several tasks, `choices`, `rules`, `published`, `incomplete`,
        `failed` and `notes`.
    """
    tasks, rows, notes = [], [], []
    choices, published, rules = [], [], []
    without_baseline: dict[str, list[str]] = {}
    groups = group_by_task(runs)
    for (experiment, task), group in groups.items():
        members, repeated = rows_of(group)
        notes += [
            f"{run.name}: another folder has the same run, or one of this row and seed on other "
            "data; one is used"
            for run in repeated
        ]
        notes += [f"{task}: {note}" for note in _unpaired(members)]
        for run in group:
            notes += [f"{run.name}: {note}" for note in (*run.notes, *warnings_of(run))]
        if not any(method_of(name) == "source_only" for name in members):
            without_baseline.setdefault(experiment, []).append(task)
        seeds = sorted({run.result["seed"] for run in group})
        named = {"experiment": experiment, "task": task}
        for name in members:
            for selection in _selections(group):
                row = make_row(name, selection, members)
                if row is None:
                    continue
                rows.append({**named, **row})
                missing = [seed for seed in seeds if seed not in row["target_accuracy"]["seeds"]]
                if missing and selection == "last":
                    missing = join_numbers("seed", missing)
                    place = f"{task}: {name}" if len(groups) > 1 else name
                    notes.append(f"{place}: no finished run of {missing}; such pairs are dropped")
        tasks.append({**named, **describe_task(group, members)})
        choices += [{**named, **choice} for choice in choose_settings(members)]
        if judged := judge_rules(members):
            rules.append({**named, **judged})
        own = [row for row in rows if named.items() <= row.items() and row["selection"] == "last"]
        if compared := compare_with_published(task, own):
            published.append({**named, **compared})

    for experiment, lacking in without_baseline.items():
        is_all = len(lacking) == sum(name == experiment for name, _ in groups)
        places = [experiment] if is_all and len(lacking) > 1 else lacking
        notes += [f"{place}: there is no row source_only to compare with" for place in places]

    unlabelled = []
    for (experiment, task), group in group_by_task(runs, "unlabelled").items():
        members, _ = rows_of(group)
        named = {"experiment": experiment, "task": task}
        own = [make_unlabelled_row(name, members[name]) for name in members]
        unlabelled.append({**named, "rows": own})
        choices += [{**named, **choice} for choice in choose_settings(members)]

    measured = [
        {"experiment": experiment, "task": task, **measure_task(group)}
        for (experiment, task), group in group_by_task(runs, "measured").items()
    ]

    pretraining = [
        {"experiment": experiment, "task": task, "rows": describe_pretraining(group)}
        for (experiment, task), group in group_by_task(runs, "pretraining").items()
    ]

    experiments = list(dict.fromkeys(task["experiment"] for task in tasks))
    across = [compare_across(rows, choices, experiment) for experiment in experiments]

    def list_state(state: str) -> list[dict[str, str]]:
        return [
            {"run": run.name, "experiment": run.folder.parent.name, "reason": run.reason}
            for run in runs
            if run.state == state
        ]

    return as_json(
        {
            "experiment": ", ".join(
                dict.fromkeys(
                    [
                        *experiments,
                        *(own["experiment"] for own in (*unlabelled, *measured, *pretraining)),
                    ]
                )
            ),
            "rows": sorted(rows, key=lambda row: selection_order(row["selection"])),
            "tasks": tasks,
            "unlabelled": unlabelled,
            "measured": measured,
            "pretraining": pretraining,
            "across": [entry for entry in across if entry is not None],
            "choices": choices,
            "rules": rules,
            "cross_validation": describe_folds(runs),
            "published": published,
            "incomplete": list_state("incomplete"),
            "failed": list_state("failed"),
            "notes": notes,
        }
    )


def _unpaired(members: Mapping[str, RunsBySeed]) -> list[str]:
    """Names the rows whose runs cannot be paired with those of the first row, for their data."""
    first, runs = next(iter(members.items()))
    notes = []
    for name, others in members.items():
        paired = with_same_data(others, runs)
        seeds = sorted(seed for seed in others if seed in runs and seed not in paired)
        if seeds:
            notes.append(
                f"{name} and {first} have other data or splits at {join_numbers('seed', seeds)}, "
                "so they are not paired"
            )
    return notes


def _selections(group: Iterable[Run]) -> list[str]:
    return list(dict.fromkeys(name for run in group for name in run.result["selections"]))


def warnings_of(run: Run) -> list[str]:
    """Lists what a run warns of.

    Args:
        run: A finished run.

    Returns:
        Its own warnings, and whether its discriminator was outrun.
    """
    warnings = [str(text) for text in part_of(run.result, "warnings", list)]
    if any("flags" in record for record in run.records):
        return warnings  # the collapse guard has looked at this run
    values = [
        value
        for record in run.records
        for name, value in record.items()
        if name.startswith("train/") and name.endswith("/domain_accuracy") and is_number(value)
    ]
    low = sum(value < OUTRUN_ACCURACY for value in values)
    if low and low >= OUTRUN_SHARE * len(values):
        warnings.append(
            f"domain accuracy is below {OUTRUN_ACCURACY} in {100 * low / len(values):.0f} % of the "
            "records: the reversed gradient outruns the discriminator"
        )
    return warnings


def describe_task(group: Sequence[Run], members: Mapping[str, RunsBySeed]) -> dict[str, Any]:
    """Collects what the runs of a task share, and in which settings the rows differ.

    Args:
        group: Finished runs of one task.
        members: The same runs by seed, by row.

    Returns:
        An entry of `tasks` in `summary.json` without its name.
    """
    flat = {name: settings_of(runs) for name, runs in members.items()}
    differing = differing_keys(flat.values())
    starts = [start for run in group for start in part_of(run.about, "starts", list)]
    versions = [part_of(run.about, "versions", dict) for run in group]
    shared = {key: own for key, own in flat[next(iter(flat))].items() if key not in differing}
    return {
        "classes": list(map(str, part_of(group[0].result, "classes", list))),
        "seeds": sorted({run.result["seed"] for run in group}),
        "split_seeds": _distinct(
            part_of(run.config, "data", dict).get("split_seed") for run in group
        ),
        "drawn_domains": _drawn_domains(group),
        "target_test_seen": any(run.result.get("target_test_seen") for run in group),
        "target_chosen_by_label": any(run.result.get("target_chosen_by_label") for run in group),
        "target_test_shared_with": _most_shared(group),
        "labels": label_budgets(members),
        "shared_settings": shared,
        "differing_settings": {
            key: {name: own.get(key) for name, own in flat.items()} for key in differing
        },
        "commits": _distinct(run.about.get("git_commit") for run in group),
        "hardware": _distinct(hardware_of(start) for start in starts if isinstance(start, dict)),
        "versions": _distinct(f"{name} {own[name]}" for own in versions for name in own),
    }


def _most_shared(group: Sequence[Run]) -> dict[str, int]:
    """Returns how many test examples of the target a training split holds, in the worst run."""
    counts: dict[str, int] = {}
    for run in group:
        for split, count in part_of(run.result, "target_test_shared_with", dict).items():
            counts[split] = max(counts.get(split, 0), int(count) if is_number(count) else 0)
    return counts


def _drawn_domains(group: Sequence[Run]) -> list[str]:
    """Names the domains whose examples differ between seeds, and only between seeds."""
    prints = [(run.result["seed"], part_of(run.result, "fingerprints", dict)) for run in group]
    names = sorted({name for _, own in prints for name in own if name.endswith("/images")})
    seeds = {seed for seed, _ in prints}
    drawn = []
    for name in names:
        by_seed = {(seed, own.get(name)) for seed, own in prints}
        if len({value for _, value in by_seed}) > 1 and len(by_seed) == len(seeds):
            drawn.append(name.removesuffix("/images"))
    return drawn


def _distinct(values: Iterable[Any]) -> list[str]:
    return sorted({"unknown" if value is None else str(value) for value in values})


def hardware_of(start: Mapping[str, Any]) -> str:
    """Names the machine on which a run started.

    Args:
        start: One of the `starts` of `config.json`.

    Returns:
        The processor, and the devices in brackets.
    """
    devices = list(map(str, part_of(start, "devices", list)))
    counts = ", ".join(f"{devices.count(name)} x {name}" for name in dict.fromkeys(devices))
    return f"{start.get('hardware')} ({counts})"


def join_numbers(noun: str, numbers: Sequence[int]) -> str:
    """Writes numbers as text.

    Args:
        noun: What they count, in the singular.
        numbers: Whole numbers, ascending.

    Returns:
        Such as `seeds 1, 3`; three and more neighbours are shortened.
    """
    if len(numbers) > 2 and list(numbers) == list(range(numbers[0], numbers[-1] + 1)):
        return f"{noun}s {numbers[0]} to {numbers[-1]}"
    return f"{noun}{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"
