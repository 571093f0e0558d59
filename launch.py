"""The one command of Adaptax: `python launch.py [train | sweep | report | …] [flags]`.

Without a verb it trains and compares the rows of `configs/digits.py` and prints the table.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

from absl import app, flags, logging
from ml_collections import config_flags

from common.experiment import command_line, data_command, rank_command, trained_command
from common.experiment.executors import flag
from common.experiment.search import flag as search_flag
from common.experiment.weights import conversion
from common.legal import check_name

MAIN_CONFIG = str(Path(__file__).parent / "configs" / "digits.py")

_CONFIG = config_flags.DEFINE_config_file("config", None, "File with get_config(argument).")
_COMPARE = flags.DEFINE_boolean("compare", False, "Whether report compares two folders of runs.")
_CROSS_VALIDATION = flags.DEFINE_integer(
    "cross_validation", 0, "Folds by which sweep chooses a setting.", lower_bound=0
)
_OUTPUT = flags.DEFINE_string("output", None, "The report's folder, or the file to convert to.")
flag.define()
search_flag.define()
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the runs; config.runtime.workdir.")


def _make_method(config, num_classes):
    from dann.method import make_method as make_adaptation
    from finetune.method import make_method as make_plain

    makers = {"dann": make_adaptation, "finetune": make_plain}
    check_name("config.package", config["package"], makers)
    return makers[config["package"]](config, num_classes)


def _resolve(config, kept: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """Applies what the command line changes but `kept`; resolves it, its parent's before it."""
    from common.experiment import family, folder
    from configs import base, method_row

    changes = dict(config_flags.get_override_values(flags.FLAGS["config"]))
    changes = {key: value for key, value in changes.items() if key not in kept}
    folder.change(config, changes | ({"runtime.workdir": _WORKDIR.value} if _WORKDIR.value else {}))
    return family.resolve_family(config, changes, base.get_config(), method_row)


def train(arguments: list[str]) -> None:
    """Trains one run, and before it the one that it starts from."""
    from common.experiment import folder, json_file, outcome, single_run
    from common.experiment.chosen import tell_chosen
    from common.training import process

    with outcome.refusing():
        configs = _resolve(_CONFIG.value)
    own = folder.run_folder(configs[-1])
    if not folder.is_done(configs[-1]):
        with outcome.listen() as request:
            overrides = [word for word in sys.argv[1:] if word.startswith("-")]
            single_run.train_family(configs, _make_method, request, overrides)
    is_first = process.is_first()
    process.part()
    if not is_first:
        return
    result = json_file.read_json(own / "result.json")
    print(*tell_chosen(result), sep="\n")
    print(f"done: {own}")


def sweep(arguments: list[str]) -> None:
    """Trains all runs of a config's grid and reports, or does a part of it."""
    from common.experiment import outcome, sweep_command

    file = config_flags.get_config_filename(flags.FLAGS["config"])
    words = command_line.complete(sys.argv[1:], MAIN_CONFIG)[1:]
    own = (file, _CONFIG.value, _resolve, _make_method, words, _CROSS_VALIDATION.value)
    folders, failures = sweep_command.run(*own)
    if folders:
        report(folders)
    if failures:
        raise outcome.RunFailed("; ".join(f"{name}: {why}" for name, why in failures.items()))


def search(arguments: list[str]) -> None:
    """Looks for the values of a config that a label-free score finds best."""
    from common.experiment.search import command

    file = config_flags.get_config_filename(flags.FLAGS["config"])
    changes = dict(config_flags.get_override_values(flags.FLAGS["config"]))
    resolve = partial(_resolve, kept=("seed",))
    command.run(file, _CONFIG.value, changes, resolve, _make_method, sys.argv[2:])


def report(arguments: list[str]) -> None:
    """Writes and prints the comparison of the runs in some folders, or of two folders."""
    from common.experiment import report_command

    report_command.run(arguments, _OUTPUT.value, compares=_COMPARE.value)


def list_names(arguments: list[str]) -> None:
    """Prints what a config may name."""
    from common.data.domain import DOMAINS
    from common.evaluation.scores.score import SCORES
    from common.experiment import outcome
    from common.models.network import FEATURE_EXTRACTORS as MODELS
    from configs.catalogue import JOINED, PAPERS, ROWS

    names = {"methods": (*ROWS, *JOINED), "datasets": DOMAINS, "models": MODELS, "scores": SCORES}
    with outcome.refusing():
        print(*data_command.list_names(names, arguments, PAPERS | JOINED), sep="\n")


def rank(arguments: list[str]) -> None:
    """Ranks starts of fine-tuning by labelled training examples of the target."""
    rank_command.rank(arguments, _CONFIG.value, _resolve, _make_method)


VERBS = {"train": train, "sweep": sweep, "search": search, "report": report, "rank": rank}
VERBS |= {"prepare": data_command.prepare, "convert": conversion.convert, "list": list_names}
VERBS |= trained_command.verbs(_make_method)
PARSE = partial(command_line.parse, verbs=tuple(VERBS), config=MAIN_CONFIG)


def main(argv: list[str]) -> None:
    """Runs a verb."""
    logging.set_verbosity(logging.WARNING)
    verb, *arguments = argv
    if verb in ("train", "sweep", "search"):
        if arguments:
            command_line.refuse(f"{verb} takes flags alone; {arguments[0]!r} is none")
        if _CONFIG.value is None:
            command_line.refuse(f"{verb} needs --config=FILE, such as --config={MAIN_CONFIG}")
        from common.experiment import start_up

        start_up.start(_CONFIG.value.runtime, verb)
    VERBS[verb](arguments)
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(command_line.end(lambda: app.run(main, flags_parser=PARSE)))
