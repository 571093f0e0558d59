"""What an option of an augmentation may be: the annotation of a parameter carries its check."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

from common.legal import check_count, check_number, suggest


def check_pair(key: str, value: Any, least: float, most: float) -> None:
    """Refuses what is no range: two numbers, the smaller one first.

    Args:
        key: Where the value stands.
        value: What was asked for.
        least: The smallest legal end.
        most: The largest legal end.

    Raises:
        ValueError: With the key, the value and what would be right.
    """
    if isinstance(value, str) or not isinstance(value, Sequence) or len(value) != 2:
        raise ValueError(
            f"{key} is {value!r}; it must be two numbers, the smallest and the largest"
        )
    for index, end in enumerate(value):
        check_number(f"{key}[{index}]", end, least, most)
    if value[0] > value[1]:
        raise ValueError(f"{key} is {value!r}; the smaller number must stand first")


def check_choices(key: str, value: Any, legal: Sequence[str]) -> None:
    """Refuses what is no list of different legal names.

    Args:
        key: Where the value stands.
        value: What was asked for.
        legal: The legal names.

    Raises:
        ValueError: With the key, the value and what would be right.
    """
    if isinstance(value, str) or not isinstance(value, Sequence) or not value:
        raise ValueError(f"{key} is {value!r}; it must be a list of {', '.join(legal)}")
    for name in value:
        if name not in legal:
            raise ValueError(f"{key} names {name!r}; {suggest(name, legal)}")
        if list(value).count(name) > 1:
            raise ValueError(f"{key} names {name!r} twice; name each once")


def check_flag(key: str, value: Any) -> None:
    """Refuses what is neither True nor False.

    Args:
        key: Where the value stands.
        value: What was asked for.

    Raises:
        ValueError: With the key and the value.
    """
    if not isinstance(value, bool):
        raise ValueError(f"{key} is {value!r}; it must be True or False")


# The limits are wide; they keep all numbers finite in 32 bits.
Count = Annotated[int, partial(check_count, least=0)]
Flag = Annotated[bool, check_flag]
Share = Annotated[int | float, partial(check_number, most=1.0)]
Amount = Annotated[int | float, partial(check_number, most=10.0)]
Turn = Annotated[int | float, partial(check_number, most=0.5)]
Degrees = Annotated[int | float, partial(check_number, most=180.0)]
Slant = Annotated[int | float, partial(check_number, most=80.0)]
ShareRange = Annotated[Sequence[int | float], partial(check_pair, least=0.0, most=1.0)]
FactorRange = Annotated[Sequence[int | float], partial(check_pair, least=0.01, most=100.0)]
PixelRange = Annotated[Sequence[int | float], partial(check_pair, least=0.0, most=1000.0)]


def check_option(key: str, parameter: inspect.Parameter, value: Any) -> None:
    """Refuses a value that a parameter cannot have.

    Args:
        key: Where the value stands, such as `config.data.augment.shift.pixels`.
        parameter: A keyword-only parameter of an augmentation. The metadata of an `Annotated`
            annotation are checks `(key, value) -> None`; a plain `int` is a count, and
            `probability` a share.
        value: What was asked for.

    Raises:
        ValueError: With the key, the value and what would be right.
    """
    for check in getattr(parameter.annotation, "__metadata__", ()):
        check(key, value)
    if parameter.annotation is int:
        check_count(key, value, 0)
    elif parameter.name == "probability":
        check_number(key, value, most=1.0)
