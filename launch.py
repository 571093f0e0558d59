"""The one command of Adaptax: `python launch.py [train | sweep | report | list] [flags]`.

Without a verb it trains and compares the rows of `configs/digits.py` and prints the table.
"""

from __future__ import annotations

import difflib
import importlib.util
import json
import sys
from pathlib import Path

from absl import app, flags, logging
from ml_collections import config_flags

MAIN_CONFIG = "configs/digits.py"
USAGE = """usage: python launch.py                               compare the rows of the embedded benchmark
       python launch.py train  --config=FILE[:ARGUMENT] [--config.KEY=VALUE] [--workdir=FOLDER]
       python launch.py sweep  --config=FILE [--config.KEY=VALUE] [--workdir=FOLDER]
       python launch.py report FOLDER...
       python launch.py list   [methods|datasets|models]
exit codes: 0 done; 1 a run failed; 2 wrong usage or config; 75 stopped by a signal, run it again"""

_CONFIG = config_flags.DEFINE_config_file("config", None, "File with get_config(argument).")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the runs; config.runtime.workdir.")


def _make_method(config, num_classes):
    from dann.method import make_method as make_adaptation
    from finetune.method import make_method as make_plain

    makers = {"dann": make_adaptation, "finetune": make_plain}
    if config["package"] not in makers:
        raise ValueError(f"config.package is {config['package']!r}; legal are dann, finetune")
    return makers[config["package"]](config, num_classes)


def _overrides() -> dict[str, object]:
    values = dict(config_flags.get_override_values(flags.FLAGS["config"]))
    return values | ({"runtime.workdir": _WORKDIR.value} if _WORKDIR.value else {})


def _resolve(config, overrides):
    from common.experiment.folder import resolve

    config.update_from_flattened_dict(overrides)
    return resolve(config)


def _expand() -> list[dict[str, object]]:
    """Lists the runs of a sweep: the config file's own grid, under the command line's changes."""
    path = config_flags.get_config_filename(flags.FLAGS["config"]).partition(":")[0]
    spec = importlib.util.spec_from_file_location("sweep_config", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    runs = []
    if not hasattr(module, "sweep"):
        return [_resolve(_CONFIG.value, _overrides())]

    def add(argument="", changes=None):
        runs.append(_resolve(module.get_config(argument), {**(changes or {}), **_overrides()}))

    module.sweep(add)
    return runs


def train(arguments) -> int:
    """Trains one run."""
    from common.experiment import folder, outcome, run

    config = _resolve(_CONFIG.value, _overrides())
    own = folder.run_folder(config)
    if folder.is_done(config):
        print(f"done: {own}")
        return 0
    with outcome.listen() as request:
        run.train_alone(config, _make_method, request, sys.argv[2:])
    result = json.loads((own / "result.json").read_text())
    for name, chosen in result["selections"].items():
        accuracy = chosen["oracle/target_test_accuracy"]
        print(f"{name}: step {chosen['step']}, target test accuracy {accuracy:.3f}")
    print(f"done: {own}")
    return 0


def sweep(arguments) -> int:
    """Trains all runs of a config's grid and reports."""
    from common.experiment import folder, outcome, sweep

    configs = _expand()
    with outcome.listen() as request:
        failures = sweep.run_sweep(configs, _make_method, request, sys.argv[2:], print)
    for name, reason in failures.items():
        print(f"failed: {name}: {reason}", file=sys.stderr)
    roots = dict.fromkeys(folder.experiment_folder(config) for config in configs)
    return max(int(bool(failures)), report([str(root) for root in roots]))


def report(arguments) -> int:
    """Writes and prints the comparison of finished runs."""
    from common.experiment import report

    if not arguments:
        raise app.UsageError("report needs a folder of runs, such as runs/digits")
    for folder in arguments:
        if not Path(folder).is_dir():
            raise app.UsageError(f"there is no folder {folder}")
    written = report.write_report([Path(folder) for folder in arguments])
    print(report.format_table(written.summary))
    print(f"report: {written.path}")
    return 0


def list_names(arguments) -> int:
    """Prints what a config may name."""
    from common.data.domain import DOMAINS
    from common.models.network import FEATURE_EXTRACTORS
    from configs.base import PLAIN, TERMS

    names = {"methods": [*PLAIN, *TERMS], "datasets": DOMAINS, "models": FEATURE_EXTRACTORS}
    unknown = [kind for kind in arguments if kind not in names]
    if unknown:
        raise app.UsageError(f"cannot list {unknown[0]!r}; legal are {', '.join(names)}")
    for kind in arguments or names:
        print(f"{kind}: {', '.join(names[kind])}")
    return 0


VERBS = {"train": train, "sweep": sweep, "report": report, "list": list_names}


def _parse(argv: list[str]) -> list[str]:
    """Parses flags and returns the verb and its arguments; wrong usage ends with code 2."""
    if {"--help", "-h", "-help", "help"} & set(argv[1:]):
        print(USAGE)
        sys.exit(0)
    verb = argv[1] if len(argv) > 1 and not argv[1].startswith("-") else ""
    rest = argv[2:] if verb else argv[1:]
    if not verb:
        verb, rest = "sweep", [f"--config={MAIN_CONFIG}", *rest]
    if verb not in VERBS:
        near = difflib.get_close_matches(verb, VERBS, 1) or list(VERBS)
        _refuse(f"{verb!r} is no verb; did you mean {near[0]!r}?")
    try:
        positional = flags.FLAGS([argv[0], *rest])[1:]
    except (flags.Error, AttributeError, KeyError, TypeError, ValueError, OSError) as error:
        _refuse(" ".join(str(error).split()))
    if verb in ("train", "sweep") and _CONFIG.value is None:
        _refuse(f"{verb} needs --config=FILE, such as --config={MAIN_CONFIG}")
    return [verb, *positional]


def _refuse(sentence: str) -> None:
    print(f"launch.py: {sentence}", file=sys.stderr)
    sys.exit(2)


def main(argv: list[str]) -> int:
    """Runs a verb and turns its outcome into an exit code."""
    from common.experiment import outcome

    logging.set_verbosity(logging.WARNING)
    verb, *arguments = argv
    try:
        if verb in ("train", "sweep"):
            from common.training import parallel

            parallel.use_processor_cores()
        return VERBS[verb](arguments)
    except (outcome.UsageError, app.UsageError) as error:
        _refuse(str(error))
    except outcome.RunFailed as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    except outcome.Stopped as error:
        print(f"stopped: {error}", file=sys.stderr)
        return 75
    return 0


if __name__ == "__main__":
    app.run(main, flags_parser=_parse)
