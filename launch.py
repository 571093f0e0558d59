"""The one command of Adaptax: `python launch.py [train | sweep | report | …] [flags]`.

Without a verb it trains and compares the rows of `configs/digits.py` and prints the table.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from absl import app, flags, logging
from ml_collections import config_flags

from common.experiment import command_line, data_command
from common.experiment.weights import conversion
from common.legal import check_name

MAIN_CONFIG = str(Path(__file__).parent / "configs" / "digits.py")
USAGE = """usage: python launch.py          train and compare the rows of the embedded benchmark
       python launch.py train  --config=FILE[:ARGUMENT] [--config.KEY=VALUE] [--workdir=FOLDER]
       python launch.py sweep  --config=FILE [--config.KEY=VALUE] [--workdir=FOLDER]
                               [--cross_validation=FOLDS]
       python launch.py report FOLDER... [--output=FOLDER]
       python launch.py prepare --dataset=NAME[,NAME] [--manual_dir=FOLDER] [--data_dir=FOLDER]
       python launch.py convert FILE [--output=FILE]   weights of PyTorch to safetensors
       python launch.py list   [methods|datasets|models|scores] [--data_dir=FOLDER]
exit codes: 0 done; 1 a run failed; 2 wrong usage or config; 75 stopped by a signal, saved: run the
same command again to go on"""

_CONFIG = config_flags.DEFINE_config_file("config", None, "File with get_config(argument).")
_CROSS_VALIDATION = flags.DEFINE_integer(
    "cross_validation", 0, "Folds by which sweep chooses a setting.", lower_bound=0
)
_OUTPUT = flags.DEFINE_string("output", None, "The report's folder, or the file to convert to.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the runs; config.runtime.workdir.")


def _make_method(config, num_classes):
    from dann.method import make_method as make_adaptation
    from finetune.method import make_method as make_plain

    makers = {"dann": make_adaptation, "finetune": make_plain}
    check_name("config.package", config["package"], makers)
    return makers[config["package"]](config, num_classes)


def _resolve(config) -> list[dict[str, Any]]:
    """Applies what the command line changes; resolves the config, its parent's before it."""
    from common.experiment import family, folder
    from configs import base, catalogue

    changes = dict(config_flags.get_override_values(flags.FLAGS["config"]))
    folder.change(config, changes | ({"runtime.workdir": _WORKDIR.value} if _WORKDIR.value else {}))
    return family.resolve_family(config, changes, base.get_config(), catalogue)


def _overrides() -> list[str]:
    return [word for word in sys.argv[1:] if word.startswith("-")]


def train(arguments: list[str]) -> None:
    """Trains one run, and before it the one that it starts from."""
    from common.experiment import folder, outcome, run

    with outcome.refusing():
        configs = _resolve(_CONFIG.value)
    own = folder.run_folder(configs[-1])
    if not folder.is_done(configs[-1]):
        with outcome.listen() as request:
            run.train_family(configs, _make_method, request, _overrides())
    result = folder.read_json(own / "result.json")
    metric = result["primary_metric"]["name"]
    for name, chosen in result["selections"].items():
        value = chosen.get(f"oracle/target_test_{metric}")
        found = "the target has no labels" if value is None else f"{value:.3f}"
        print(f"{name}: step {chosen['step']}, target test {metric}: {found}")
    print(f"done: {own}")


def sweep(arguments: list[str]) -> None:
    """Trains all runs of a config's grid and reports."""
    from common.experiment import cross_validation, folder, outcome, sweep

    folds = _CROSS_VALIDATION.value
    file = config_flags.get_config_filename(flags.FLAGS["config"])
    with outcome.refusing():
        configs = sweep.expand(file, _CONFIG.value, _resolve)
        folded = sweep.expand(file, _CONFIG.value, _resolve, folds) if folds else []
    with outcome.listen() as request:
        failures = sweep.run_sweep(folded, _make_method, request, _overrides(), print)
        configs = cross_validation.choose(configs, folded) if folds else configs
        failures |= sweep.run_sweep(configs, _make_method, request, _overrides(), print)
    report([str(root) for root in dict.fromkeys(map(folder.experiment_folder, configs))])
    if failures:
        raise outcome.RunFailed("; ".join(f"{name}: {why}" for name, why in failures.items()))


def report(arguments: list[str]) -> None:
    """Writes and prints the comparison of the runs in some folders."""
    from common.experiment import outcome, report

    missing = " ".join(name for name in arguments if not Path(name).is_dir())
    if missing or not arguments:
        raise outcome.UsageError(
            f"report needs folders such as runs/digits, not {missing or 'none'}"
        )
    with outcome.refusing():
        output = Path(_OUTPUT.value) if _OUTPUT.value else None
        written = report.write_report([Path(folder) for folder in arguments], output)
    print(report.format_table(written.summary))
    print(f"report: {written.path}")


def list_names(arguments: list[str]) -> None:
    """Prints what a config may name."""
    from common.data.domain import DOMAINS
    from common.evaluation.scores.score import SCORES
    from common.experiment import outcome
    from common.models.network import FEATURE_EXTRACTORS as MODELS
    from configs.catalogue import PAPERS, ROWS

    names = {"methods": ROWS, "datasets": DOMAINS}
    names |= {"models": MODELS, "scores": SCORES}
    with outcome.refusing():
        print(*data_command.list_names(names, arguments, PAPERS), sep="\n")


VERBS = {"train": train, "sweep": sweep, "report": report}
VERBS |= {"prepare": data_command.prepare, "convert": conversion.convert, "list": list_names}


def main(argv: list[str]) -> None:
    """Runs a verb."""
    logging.set_verbosity(logging.WARNING)
    verb, *arguments = argv
    if verb in ("train", "sweep"):
        if arguments:
            command_line.refuse(f"{verb} takes flags alone; {arguments[0]!r} is none")
        if _CONFIG.value is None:
            command_line.refuse(f"{verb} needs --config=FILE, such as --config={MAIN_CONFIG}")
        from common.experiment import compilation_cache
        from common.training import parallel

        parallel.use_processor_cores()
        chosen = _CONFIG.value.get("runtime", {}).get("compilation_cache", "")
        compilation_cache.use_compilation_cache(chosen, command_line.warn)
    VERBS[verb](arguments)
    sys.stdout.flush()


def _parse(argv: list[str]) -> list[str]:
    return command_line.parse(argv, tuple(VERBS), MAIN_CONFIG, USAGE)


if __name__ == "__main__":
    sys.exit(command_line.end(lambda: app.run(main, flags_parser=_parse)))
