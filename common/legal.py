"""What a config may say: names, keys and numbers, each refused in one sentence."""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Iterable, Mapping
from typing import Any


def suggest(name: Any, legal: Iterable[Any]) -> str:
    """Says what would have been right.

    Args:
        name: What was written.
        legal: The legal names, in the order to show.

    Returns:
        The nearest legal name, where one is near, and all of them.
    """
    names = [str(own) for own in legal]
    near = difflib.get_close_matches(str(name), names, 1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}legal are {', '.join(names) or 'none'}"


def check_name(key: str, value: Any, legal: Collection[Any]) -> None:
    """Refuses a value that is none of the legal ones.

    Args:
        key: Where the value stands, such as `config.model.name`.
        value: What was asked for.
        legal: The legal names.

    Raises:
        ValueError: With the key, the value, the nearest legal name and all of them.
    """
    if not (isinstance(value, str) and value in legal):
        raise ValueError(f"{key} is {value!r}; {suggest(value, legal)}")


def check_keys(key: str, given: Any, legal: Collection[str], required: Iterable[str] = ()) -> None:
    """Refuses options that do not exist, and the lack of those that must be there.

    Args:
        key: Where the options stand, such as `config.model.options`.
        given: The options by name.
        legal: The legal names.
        required: Those of them that have no default.

    Raises:
        ValueError: With the key of the unknown or missing option, or of what holds no options, and
            what would be right.
    """
    if not isinstance(given, Mapping):
        raise ValueError(
            f"{key} is {given!r}; it must be a dict, of {', '.join(legal) or 'nothing'}"
        )
    for name in given:
        if name not in legal:
            raise ValueError(f"{key}.{name} is unknown; {suggest(name, legal)}")
    for name in required:
        if name not in given:
            raise ValueError(f"{key}.{name} is missing; {key} needs {', '.join(required)}")


def check_count(key: str, value: Any, least: int = 1) -> None:
    """Refuses what is no whole number, or too small a one.

    Args:
        key: Where the value stands.
        value: What was asked for.
        least: The smallest legal count.

    Raises:
        ValueError: With the key, the value and the smallest legal one.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{key} is {value!r}; it must be a whole number of at least {least}")


def check_number(
    key: str,
    value: Any,
    least: int | float = 0.0,
    most: int | float = math.inf,
    below: int | float = math.inf,
) -> None:
    """Refuses a number outside its range, and one that is not finite.

    Args:
        key: Where the value stands.
        value: What was asked for.
        least: The smallest legal number.
        most: The largest legal number.
        below: What every legal number is below.

    Raises:
        ValueError: With the key, the value and the range.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and math.isfinite(value) and least <= value <= most and value < below:
        return
    if below < math.inf:
        legal = f"lie in [{least:g}, {below:g})"
    elif most < math.inf:
        legal = f"lie in [{least:g}, {most:g}]"
    elif least > -math.inf:
        legal = f"be a finite number of at least {least:g}"
    else:
        legal = "be a finite number"
    raise ValueError(f"{key} is {value!r}; it must {legal}")
