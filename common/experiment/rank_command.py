"""The verb `rank`: which start suits a target, measured on its labelled training examples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from absl import flags

from common.experiment import outcome

_RUN = flags.DEFINE_multi_string("run", [], "Folder of a finished run; several times.")
_WEIGHTS = flags.DEFINE_multi_string(
    "weights", [], "File of weights to rank, NETWORK=FILE of another network; several times."
)
_LAYOUT = flags.DEFINE_string("layout", "", "Whose names the files of --weights use.")
_FINE_TUNED = flags.DEFINE_multi_string(
    "fine_tuned", [], "Folder of a run that was fine-tuned from one of those ranked; several times."
)


def rank(
    arguments: Sequence[str],
    config: Any,
    resolve: Callable[[Any], list[dict[str, Any]]],
    make_method: Callable[[Any, int], Any],
) -> None:
    """Prints a table of the starts of `--run` and `--weights`.

    Args:
        arguments: Words that are no flags; there must be none.
        config: The `ConfigDict` of `--config`, or None. It names the target, how many of its labels
            are read, and the network of `--weights`; without it the target is the first run's.
        resolve: From such a config to resolved ones, the run's the last.
        make_method: `(config, num_classes) -> Method`.

    Raises:
        UsageError: Nothing to rank, or what does not fit together.
    """
    runs, weights = [Path(own).expanduser() for own in _RUN.value], _WEIGHTS.value
    if arguments:
        raise outcome.UsageError(f"rank takes flags alone; {arguments[0]!r} is none")
    if not runs and not weights:
        raise outcome.UsageError("rank needs starts: --run=FOLDER or --weights=FILE, several times")
    if weights and config is None:
        raise outcome.UsageError(
            "rank needs --config=FILE beside --weights, which says of what network they are and "
            "for which target"
        )
    if _LAYOUT.value and not weights:
        raise outcome.UsageError(f"--layout={_LAYOUT.value} is about --weights, and there are none")
    for flag, given in (("run", _RUN.value), ("weights", weights)):
        if twice := [own for own in given if given.count(own) > 1]:
            raise outcome.UsageError(f"--{flag}={twice[0]} is given twice")
    from common.experiment import rank as ranking
    from common.experiment import start
    from common.experiment.labelled_target import load_target
    from common.models.network import FEATURE_EXTRACTORS

    with outcome.refusing():
        if config is None:
            wanted = start.read_run(runs[0])[0]
        else:
            wanted = resolve(config.copy_and_resolve_references())[-1]
        target = load_target(wanted)
        starts = [start.start_of_run(own, target, make_method) for own in runs]
        for given in weights:
            own: Any = config.copy_and_resolve_references() if config else None
            name, separator, file = given.partition("=")
            if separator and name in FEATURE_EXTRACTORS:
                own.model.name = name
            else:
                file = given
            own.init_from.update({"run": "", "method": "", "weights": file})
            own.init_from.update({"sha256": "", "layout": _LAYOUT.value})
            starts.append(start.start_of_weights(resolve(own)[-1], target))
        fine_tuned = None
        if _FINE_TUNED.value:
            paths = [Path(own).expanduser() for own in _FINE_TUNED.value]
            fine_tuned = ranking.read_fine_tuned(paths, starts, target)
        ranked = ranking.rank_starts(starts, target, fine_tuned)
    print(*ranking.format_ranking(ranked, target, fine_tuned), sep="\n")
