"""Reading the command line: a verb, flags, and one sentence for whatever is wrong."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from absl import flags

WRONG_USAGE = 2


def refuse(sentence: str) -> NoReturn:
    """Ends the process over wrong usage.

    Args:
        sentence: What was wrong, where, and what would be right.
    """
    print(f"launch.py: {sentence}", file=sys.stderr)
    sys.exit(WRONG_USAGE)


def parse(
    argv: Sequence[str],
    verbs: Sequence[str],
    default: Sequence[str],
    usage: str,
    load_config: Callable[[], Any],
) -> list[str]:
    """Parses the flags of `argv`; wrong usage ends the process.

    absl's own parser would exit with 1, and print a traceback for a misspelt override.

    Args:
        argv: The command line.
        verbs: The legal verbs.
        default: The verb and the flags that stand for a command line without a verb.
        usage: The text of `--help`.
        load_config: Returns the config, or None without one.

    Returns:
        The verb and its positional arguments.
    """
    program, *words = argv
    if {"--help", "-h", "-help", "help"} & set(words):
        print(usage)
        sys.exit(0)
    if not words or words[0].startswith("-"):
        words = [*default, *words]
    verb, *rest = words
    if verb not in verbs:
        near = difflib.get_close_matches(verb, verbs, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"legal are {', '.join(verbs)}"
        refuse(f"{verb!r} is no verb; {hint}")
    try:
        _, *positional = flags.FLAGS([program, *rest])
        # A config that could not be read raises at its first use alone.
        config = load_config()
        if config is not None:
            config.to_dict()
    except Exception as error:  # A config file is a program: it can raise anything.
        refuse(one_sentence(error))
    return [verb, *positional]


def one_sentence(error: Exception) -> str:
    """Finds what a person needs in what the flag libraries report.

    Args:
        error: An error of absl or of ml_collections' config flags.

    Returns:
        One line without traceback.
    """
    text = str(error)
    if near := re.search(r'Did you mean "(.+?)" instead of "(.+?)"', text):
        return f"the config has no key {near[2]!r}; did you mean {near[1]!r}?"
    if unknown := re.fullmatch(r"""["']+(\w+)["']+""", text.strip()):
        return f"the config has no key {unknown[1]!r}"
    if missing := re.search(r"No such file or directory: '(.+?)'", text):
        return f"there is no config file {missing[1]!r}"
    if "Traceback" in text:
        # The config file itself raised: the last line of its traceback says why.
        return text.strip().splitlines()[-1].partition(": ")[2]
    return " ".join(text.split()) or type(error).__name__
