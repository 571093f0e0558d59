"""Declared ranges of a search: plain data, `{key: (low, high)}`, `(low, high, "log")` or a list."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from common.experiment import config_file
from common.legal import check_keys
from common.training.hparam import flatten

# What these are, no range changes.
FIXED = ("seed", "experiment", "method", "package", "domains", "init_from", "runtime")


class Range(NamedTuple):
    """What a search may set a key to.

    Attributes:
        low: The smallest value.
        high: The largest value; whole numbers where both are.
        is_log: Whether values are spread evenly over their logarithm.
        choices: Instead of all that, the values by name.
    """

    low: float = 0.0
    high: float = 0.0
    is_log: bool = False
    choices: tuple[Any, ...] = ()

    @property
    def ends(self) -> tuple[Any, ...]:
        """The values between which all others lie, or all of them."""
        return self.choices or (self.low, self.high)


def read_ranges(file: str, text: str | None) -> dict[str, Any]:
    """Reads what a config file or the command line declares.

    Args:
        file: The config file, with `:argument` where there is one. Its function `search()`, or
            `search(argument)`, gives ranges by dotted key.
        text: Of the command line, as `key=low:high:log,key=low:high,key=a|b`; it takes the place
            of the file's.

    Returns:
        The ranges by key, as they are declared.

    Raises:
        ValueError: Nothing declares a range, or one cannot be read.
    """
    if text:
        return dict(_parse(part) for part in text.split(","))
    path, _, argument = file.partition(":")
    module = config_file.load_module(path)
    if not hasattr(module, "search"):
        raise ValueError(
            f"{path} has no function search(); write one that returns ranges such as "
            '{"optimizer.learning_rate": (1e-4, 1e-2, "log")}, or give '
            "--search=optimizer.learning_rate=1e-4:1e-2:log"
        )
    takes_argument = len(inspect.signature(module.search).parameters) > 0
    with config_file.blaming(path):
        found = module.search(*([argument] if takes_argument else []))
    if not isinstance(found, Mapping) or not found:
        raise ValueError(f"search() of {path} returns {found!r}; it must return ranges by key")
    return dict(found)


def _parse(part: str) -> tuple[str, Any]:
    """Reads one range of the command line."""
    key, separator, value = part.partition("=")
    if "|" in value:
        return key, [_number(word) for word in value.split("|")]
    words = [_number(word) for word in value.split(":")]
    if not separator or len(words) not in (2, 3):
        raise ValueError(f"--search has {part!r}; write key=low:high, key=low:high:log or key=a|b")
    return key, tuple(words)


def _number(word: str) -> Any:
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return word


def make_ranges(
    declared: Mapping[str, Any], config: Mapping[str, Any], changes: Mapping[str, Any]
) -> dict[str, Range]:
    """Checks declared ranges against a config.

    Args:
        declared: Ranges by dotted key.
        config: The config, as plain data.
        changes: What the command line sets, by dotted key.

    Returns:
        The ranges.

    Raises:
        ValueError: In one sentence, with the key.
    """
    present = dict(flatten(config))
    ranges = {}
    for key, value in declared.items():
        check_keys("config", {key: None}, present)
        if key.split(".")[0] in FIXED:
            raise ValueError(f"a search cannot change config.{key}; leave it out of the ranges")
        if key in changes:
            raise ValueError(
                f"config.{key} is set by the command line and by a range; leave out one"
            )
        ranges[key] = _make_range(key, value, present[key])
    return ranges


def _make_range(key: str, value: Any, default: Any) -> Range:
    if isinstance(value, list):
        kinds = (bool, int, float, str)
        if len(value) < 2 or not all(isinstance(own, kinds) for own in value):
            raise ValueError(f"the range of {key} is {value!r}; a list holds two values or more")
        return Range(choices=tuple(value))
    words: tuple[Any, ...] = value if isinstance(value, tuple) else ()
    is_log = words[2:] == ("log",)
    legal = 'it must be (low, high), (low, high, "log") or a list of values'
    if len(words) != 2 + is_log or not all(_is_number(own) for own in words[:2]):
        raise ValueError(f"the range of {key} is {value!r}; {legal}")
    low, high = words[0], words[1]
    if not low < high or (is_log and low <= 0):
        above = "0 < low < high" if is_log else "low < high"
        raise ValueError(f"the range of {key} is {value!r}; it must have {above}")
    is_whole = isinstance(low, int) and isinstance(high, int)
    if isinstance(default, float):
        return Range(float(low), float(high), is_log)
    if isinstance(default, int) and not isinstance(default, bool) and is_whole:
        return Range(low, high, is_log)
    raise ValueError(
        f"the range of {key} is {value!r}, but config.{key} is {default!r}: numbers of the same "
        "kind have ranges, everything else a list of values"
    )


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value)
