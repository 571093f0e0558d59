"""Reading the command line: a verb, flags, and one sentence for whatever is wrong."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from absl import flags

from common.experiment import config_file
from common.experiment.outcome import (
    FAILED,
    OTHERS_LOST,
    STOPPED,
    WRONG_USAGE,
    RunFailed,
    Stopped,
    UsageError,
    leave_at_once,
)
from common.legal import check_keys, suggest
from common.training import process

# What a user may write; absl has more, which are about its own logging.
USAGE = """usage: python launch.py          train and compare the rows of the embedded benchmark
       python launch.py train  --config=FILE[:ARGUMENT] [--config.KEY=VALUE] [--workdir=FOLDER]
       python launch.py sweep  --config=FILE [--config.KEY=VALUE] [--workdir=FOLDER]
                               [--cross_validation=FOLDS]
                               [--executor=in_process|local|slurm|print] [--slots=N] [--retries=N]
                               [--only=POPULATION]                       see docs/scaling.md
       python launch.py search --config=FILE [--search=KEY=LOW:HIGH[:log],...] [--trials=N]
                               [--seeds=N] [--score=NAME] [--selection=RULE] [--storage=FILE|URL]
       python launch.py report FOLDER... [--output=FOLDER]
       python launch.py report --compare FOLDER FOLDER [--output=FOLDER]   seed by seed
       python launch.py prepare --dataset=NAME[,NAME] [--manual_dir=FOLDER] [--data_dir=FOLDER]
       python launch.py convert FILE [--output=FILE]   weights of PyTorch to safetensors
       python launch.py rank   --run=FOLDER... [--weights=[NETWORK=]FILE... --config=FILE]
                               [--layout=NAME] [--fine_tuned=FOLDER...]   which start suits a target
       python launch.py predict|evaluate --run=FOLDER [DOMAIN|PATH] [--part=SPLIT] [--output=FILE]
                               [--selection=NAME] [--data_dir=FOLDER]   a CSV table; how right it is
       python launch.py export --run=FOLDER [--output=FILE] [--layout=NAME] [--selection=NAME]
       python launch.py list   [methods|datasets|models|scores] [--data_dir=FOLDER]
exit codes: 0 done; 1 a run failed; 2 wrong usage or config; 75 stopped by a signal, saved: run the
same command again to go on"""

# These may stand there several times.
MULTIPLE = ("run", "weights", "fine_tuned")
OF_SWEEP = ("cross_validation", "executor", "only", "slots", "retries")
OF_SWEEP += ("partition", "account", "time_limit", "slurm")
OF_SEARCH = ("search", "trials", "seeds", "score", "selection", "storage")
FLAGS = ("config", "workdir", "output", "compare", "dataset", "manual_dir", "data_dir")
FLAGS += ("run", "weights", "layout", "fine_tuned", "part", *OF_SWEEP, *OF_SEARCH, "help")

# The verbs that put a finished run to use.
OF_RUN = ("predict", "evaluate", "export")

# Flags that would be ignored by the other verbs.
VERBS_OF = {
    **{flag: ("sweep",) for flag in OF_SWEEP},
    **{flag: ("search",) for flag in OF_SEARCH},
    "output": ("report", "convert", *OF_RUN),
    "compare": ("report",),
    "dataset": ("prepare",),
    "manual_dir": ("prepare",),
    "data_dir": ("prepare", "list", *OF_RUN),
    **dict.fromkeys(("weights", "fine_tuned"), ("rank",)),
    "run": ("rank", *OF_RUN),
    "layout": ("rank", "export"),
    "part": ("predict", "evaluate"),
    "selection": ("search", *OF_RUN),
}

# What the text of a flag must be, by the type of the config's value.
KINDS = {
    **{int: "a whole number", float: "a number", bool: "true or false"},
    **{tuple: "a list such as (1,2)", dict: "a dict"},
}


def refuse(sentence: str) -> NoReturn:
    """Ends the process over wrong usage.

    Args:
        sentence: What was wrong, where, and what would be right.
    """
    print(f"launch.py: {sentence}", file=sys.stderr)
    sys.exit(WRONG_USAGE)


def warn(sentence: str) -> None:
    """Tells something that does not end the command.

    Args:
        sentence: What it is, and what can be done about it.
    """
    print(f"launch.py: {sentence}", file=sys.stderr)


def parse(argv: Sequence[str], verbs: Sequence[str], config: str) -> list[str]:
    """Parses the flags of `argv`; wrong usage ends the process.

    absl's own parser would exit with 1, and print a traceback for a misspelt override.

    Args:
        argv: The command line.
        verbs: The legal verbs.
        config: The config file of a command line without a verb, which sweeps.

    Returns:
        The verb and its positional arguments.
    """
    program, *words = argv
    if {"--help", "-h", "-help", "help"} & set(words):
        print(USAGE)
        sys.exit(0)
    verb, *rest = complete(words, config)
    if verb not in verbs:
        refuse(f"{verb!r} is no verb; {suggest(verb, verbs)}")
    try:
        files = _values_of("config", rest)
        for flag in FLAGS[:-1]:
            values = _values_of(flag, rest)
            if len(values) > 1 and flag not in MULTIPLE:
                raise ValueError(f"--{flag} is given {len(values)} times: {', '.join(values)}")
            if values and verb not in VERBS_OF.get(flag, (verb,)):
                raise ValueError(_refuse_flag(flag, verb))
        given = config_file.load_config(files[0]).to_dict() if files else {}
        _check_overrides(rest, given)
        _, *positional = _parse_flags([program, *rest], given)
    except (ValueError, flags.Error) as error:
        refuse(" ".join(str(error).split()))
    return [verb, *positional]


def complete(words: Sequence[str], config: str) -> list[str]:
    """Writes out a command line without a verb.

    Args:
        words: What stands behind the program.
        config: The config file of a command line without a verb, which sweeps.

    Returns:
        The verb and what stands behind it.
    """
    if words and not words[0].startswith("-"):
        return list(words)
    return ["sweep", *([] if _values_of("config", words) else [f"--config={config}"]), *words]


def _refuse_flag(flag: str, verb: str) -> str:
    instead = "; write --config.runtime.data_dir" * (flag == "data_dir")
    return f"--{flag} is a flag of {', '.join(VERBS_OF[flag])}, not of {verb}{instead}"


def _values_of(flag: str, words: Sequence[str]) -> list[str]:
    """Finds what a flag is given, as `--flag=value` or `--flag value`."""
    found = []
    for word, after in zip(words, [*words[1:], ""], strict=False):
        name, separator, value = word.partition("=")
        if name in (f"--{flag}", f"-{flag}"):
            found.append(value if separator else after)
    return found


def _check_overrides(words: Sequence[str], config: Mapping[str, Any]) -> None:
    """Refuses a key that the config does not have."""
    for word in words:
        if override := re.match(r"--?(?:no)?config\.([^=]*)", word):
            key, own = "config", config
            for name in override[1].partition("[")[0].split("."):
                if not isinstance(own, Mapping):
                    raise ValueError(f"{key} is a value; it has no key {name!r}")
                check_keys(key, {name: None}, own)
                key, own = f"{key}.{name}", own[name]


def _parse_flags(words: Sequence[str], config: Mapping[str, Any]) -> list[str]:
    """Lets absl parse, and says what was wrong in the words of the config."""
    try:
        return flags.FLAGS(words)
    except flags.UnrecognizedFlagError as error:
        raise ValueError(
            f"--{error.flagname} is no flag; {suggest(error.flagname, FLAGS)}"
        ) from None
    except flags.IllegalFlagValueError as error:
        wrong = re.match(r"flag --(config\.[^=]*)=(.*?): ", str(error), re.DOTALL)
        if wrong is None:
            raise
        value: Any = {"config": config}
        for name in wrong[1].partition("[")[0].split("."):
            value = value[name]
        kind = KINDS.get(type(value), "another kind of value")
        raise ValueError(f"{wrong[1]} is {wrong[2]!r}; it must be {kind}") from None


def end(action: Callable[[], None]) -> int:
    """Does something, and turns its outcome into an exit code and at most one sentence.

    Args:
        action: What to do.

    Returns:
        0 done, 1 failed, 2 wrong usage, 75 stopped by a signal.
    """
    before = signal.signal(signal.SIGINT, leave_at_once)
    try:
        action()
        return 0
    except UsageError as error:
        return _say("launch.py", error, WRONG_USAGE)
    except RunFailed as error:
        return _say("failed", error, FAILED)
    except Stopped as error:
        return _say("stopped", error, STOPPED)
    except RuntimeError as error:
        if process.count() == 1:
            raise
        told = str(error).splitlines()[0]
        return _say("failed", f"{OTHERS_LOST} ({told})", FAILED)
    except BrokenPipeError:
        # Whoever read the output has gone; without this, Python would complain at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        return _say("failed", f"{name}{error.strerror or error}", FAILED)
    finally:
        signal.signal(signal.SIGINT, before)


def _say(how: str, what: BaseException | str, code: int) -> int:
    print(f"{how}: {' '.join(str(what).split())}", file=sys.stderr)
    for error in (what, getattr(what, "__cause__", None)):
        for note in getattr(error, "__notes__", ()):
            # JAX adds one about its own frames to whatever is raised while it traces.
            if "JAX_TRACEBACK_FILTERING" not in note:
                print(note, file=sys.stderr)
    return code
