"""The verb `sweep`: a whole grid, by whichever executor, or one population of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from common.experiment import cross_validation, folder, outcome, sweep
from common.experiment.check import MakeMethod
from common.experiment.executors import flag
from common.experiment.only import train_only
from common.training import parallel, process

Config = Mapping[str, Any]


def run(
    file: str,
    config: Any,
    resolve: Callable[[Any], Sequence[Config]],
    make_method: MakeMethod,
    words: Sequence[str],
    folds: int = 0,
) -> tuple[list[str], dict[str, str]]:
    """Trains the runs of a grid, or the one population of it that the command line names.

    Args:
        file: The config file, with `:argument` where there is one.
        config: Its config.
        resolve: As for `sweep.expand`.
        make_method: `(config, num_classes) -> Method`.
        words: The command line behind the verb.
        folds: Folds by which a setting is chosen; 0: none is.

    Returns:
        The folders of the experiments to report on, none where others train or have still to do
        so, and by run id why a run failed.

    Raises:
        UsageError: A flag or a config asks for what cannot be; nothing was trained.
        RunFailed: A file cannot be written, or another process trains one of the runs.
        Stopped: A signal came; what was saved is whole.
    """
    values = flag.read()
    is_here = values["executor"] == "in_process"
    with outcome.refusing():
        flag.check(values)
        if not is_here:
            if config["runtime"]["coordinator"]:
                raise ValueError(
                    f"--executor={values['executor']} starts processes of its own; "
                    "config.runtime.coordinator is for those that are started by hand or by srun"
                )
            # The accelerators belong to those who train.
            parallel.keep_to_processor()
        configs = sweep.expand(file, config, resolve)
        folded = sweep.expand(file, config, resolve, folds) if folds else []
    overrides = [word for word in flag.without(words) if word.startswith("-")]

    def say(text: str) -> None:
        # What is printed for others to run stands alone on standard output.
        if process.is_first():
            print(text, file=sys.stderr if values["executor"] == "print" else None, flush=True)

    with outcome.listen() as request:
        if values["only"]:
            every = [*folded, *configs]
            return [], train_only(every, values["only"], make_method, request, overrides, say)
        train = make_method, request, overrides, say, flag.make_execute(values, words, request, say)
        try:
            failures = sweep.run_sweep(folded, *train) if folds else {}
            configs = cross_validation.choose(configs, folded) if folds else configs
            failures |= sweep.run_sweep(configs, *train)
        except outcome.HandedOver as told:
            say(str(told))
            return [], {}
    roots = dict.fromkeys(map(folder.experiment_folder, configs))
    # What is printed is for others to run: a report is none of it.
    is_told = values["executor"] == "print" or not process.is_first()
    process.part()
    return [] if is_told else [str(root) for root in roots], failures
