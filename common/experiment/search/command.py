"""The verb `search`: looks for the values of a config that a label-free score finds best."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from common.experiment import folder, json_file, outcome, sweep
from common.experiment.check import MakeMethod, check_population
from common.experiment.search import flag, objective, study
from common.experiment.search.search_range import Range, make_ranges, read_ranges

Config = Mapping[str, Any]
# What Optuna calls otherwise.
STATES = {"PRUNED": "flagged"}


def run(
    file: str,
    config: Any,
    changes: Mapping[str, Any],
    resolve: Callable[[Any], Sequence[Config]],
    make_method: MakeMethod,
    words: Sequence[str],
) -> None:
    """Searches, or goes on with a search, and prints and writes the best values.

    Args:
        file: The config file, with `:argument` where there is one.
        config: Its config.
        changes: What the command line sets, by dotted key.
        resolve: As for `sweep.expand`.
        make_method: `(config, num_classes) -> Method`.
        words: The command line behind the verb.

    Raises:
        UsageError: A range, a score or a value at the end of a range cannot be; nothing was
            written.
        RunFailed: A file cannot be written, or no trial has a value.
        Stopped: A signal came; the same command goes on.
    """
    given = flag.read()
    score, rule = given["score"], given["selection"]
    with outcome.refusing():
        ranges = make_ranges(read_ranges(file, given["search"]), config.to_dict(), changes)
        make_runs = partial(_make_runs, config, resolve, given["seeds"])
        base = resolve(config.copy_and_resolve_references())[-1]
        objective.check_objective(score, rule, base)
        for values in _ends(ranges):
            for run in _make_runs(config, resolve, 1, values):
                check_population([run], make_method)
    is_maximised = objective.is_maximised(score)
    goal = [score, is_maximised, rule, given["seeds"]]
    content = [folder.identity(base), sorted(_plain(ranges).items()), *goal]
    name = study.name_of(str(base["method"]), content)
    place = folder.experiment_folder(base) / "search" / name
    found = study.Search(name, place, ranges, given["trials"], is_maximised)
    warnings = objective.warnings_of(score, base, list(ranges))
    for warning in warnings:
        print(f"note: {warning}", file=sys.stderr)
    overrides = [word for word in words if word.startswith("-")]
    trials = study.open_study(found, given["storage"])

    with outcome.listen() as request:

        def train(values: Mapping[str, Any]) -> float | None:
            runs = make_runs(values)
            try:
                sweep.run_sweep(runs, make_method, request, overrides, lambda text: None)
            except outcome.UsageError as error:
                # The ends of the ranges can be trained, and these values cannot.
                print(f"note: {error}", file=sys.stderr)
                return None
            own = [config for config in runs if config["method"] == base["method"]]
            return objective.value_of(own, score, rule)

        study.run_trials(trials, found, train, request, lambda text: print(text, flush=True))
    _write(trials, found, file, given, warnings, make_runs)


def _make_runs(
    config: Any,
    resolve: Callable[[Any], Sequence[Config]],
    num_seeds: int,
    values: Mapping[str, Any],
) -> list[Config]:
    """Makes the runs of a trial, one a seed, each after those that it starts from."""
    runs: list[Config] = []
    for seed in range(num_seeds):
        own = config.copy_and_resolve_references()
        own.update_from_flattened_dict(dict(values))
        own.seed = config.seed + seed
        runs += resolve(own)
    return list({folder.run_id(run): run for run in runs}.values())


def _ends(ranges: Mapping[str, Range]) -> list[dict[str, Any]]:
    """Lists settings that touch each end of each range, and each choice."""
    count = max(len(own.ends) for own in ranges.values())
    return [
        {key: own.ends[min(index, len(own.ends) - 1)] for key, own in ranges.items()}
        for index in range(count)
    ]


def _plain(ranges: Mapping[str, Range]) -> dict[str, list[Any]]:
    return {key: list(own) for key, own in ranges.items()}


def _write(
    trials: Any,
    search: study.Search,
    file: str,
    given: Mapping[str, Any],
    warnings: Sequence[str],
    make_runs: Callable[[Mapping[str, Any]], list[Config]],
) -> None:
    """Prints the best trial, and writes all."""
    score, rule = given["score"], given["selection"]
    every = [
        {
            "number": trial.number,
            "state": STATES.get(trial.state.name, trial.state.name.lower()),
            "value": trial.value,
            "values": trial.params,
        }
        for trial in trials.trials
        if trial.state.is_finished()
    ]
    scored = [trial for trial in every if trial["value"] is not None]
    choose = max if search.is_maximised else min
    best = choose(scored, key=lambda trial: trial["value"], default=None)
    about = {
        "score": f"score/{score}",
        "higher_is_better": search.is_maximised,
        "selection": rule,
        "seeds": given["seeds"],
        "ranges": _plain(search.ranges),
        "warnings": list(warnings),
        "trials": every,
        "best": best and {**best, "runs": list(map(folder.run_id, make_runs(best["values"])))},
    }
    path = search.place / "search.json"
    json_file.write_json(path, about)
    if best is None:
        raise outcome.RunFailed(
            f"none of {len(every)} trials has a score without a flag; see {path}"
        )
    changes = [f"--config.{key}={value}" for key, value in best["values"].items()]
    print(
        f"best of {len(scored)} trials: score/{score} {best['value']:.4f} (trial {best['number']})"
    )
    print(f"  {shlex.join([f'--config={file}', *changes])}")
    print(f"search: {path}")
