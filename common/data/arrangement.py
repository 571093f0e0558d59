"""Classes by name: renamed, chosen, and numbered alike in both domains of a task."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from common.data.example import Examples
from common.legal import check_name, suggest

# Numbers of examples without a label, and of a class that the task is not about.
UNLABELLED, DROPPED = -1, -2
MAX_NAMED = 12


# Runs of a population share examples by identity, so equal questions need one answer. It is kept as
# long as the labels that it was made of, and holds no reference to them.
_ARRANGED: dict[tuple[int, tuple[str, ...], tuple[str, ...], tuple[str, ...]], Examples] = {}


def arrange(
    examples: Examples,
    renamed: Mapping[str, str],
    classes: Sequence[str],
    must_have: Sequence[str] = (),
    kept: Sequence[str] = (),
) -> Examples:
    """Renames classes, drops those that are not wanted and numbers the rest in order.

    Args:
        examples: The examples.
        renamed: New names by old name.
        classes: The wanted classes in their order; empty for all, in the order they have.
        must_have: Those that must occur.
        kept: Those of the wanted whose examples stay; empty for all. The others keep their number.

    Returns:
        The examples, the same object where nothing was to be done; their splits lack the rows of
        the other classes. Examples without a label stay.

    Raises:
        ValueError: A class that must occur and does not.
    """
    own = tuple(renamed.get(name, name) for name in examples.classes)
    wanted = tuple(classes) or tuple(dict.fromkeys(own))
    missing = [name for name in must_have if name not in own]
    if missing:
        raise ValueError(
            f"config.data.classes names {list_names(missing)}; the source has {list_names(own)}"
        )
    kept = tuple(kept) or wanted
    if own == wanted == kept == examples.classes:
        return examples
    key = (id(examples.labels), own, wanted, kept)
    if key not in _ARRANGED:
        _ARRANGED[key] = _number(examples, own, wanted, kept)
        weakref.finalize(examples.labels, _ARRANGED.pop, key, None)
    return _ARRANGED[key]


def _number(
    examples: Examples, own: Sequence[str], wanted: tuple[str, ...], kept: Sequence[str]
) -> Examples:
    number = {name: index for index, name in enumerate(wanted) if name in kept}
    # The last entry is that of examples without a label, whose number is -1.
    numbers = np.asarray([*(number.get(name, DROPPED) for name in own), UNLABELLED], np.int32)
    labels = numbers[examples.labels]
    splits = examples.splits or {"train": np.arange(len(labels), dtype=np.int32)}
    left = {part: rows[labels[rows] != DROPPED] for part, rows in splits.items()}
    return examples._replace(labels=labels, classes=wanted, splits=left)


def lost_rows(before: Examples, after: Examples, parts: Sequence[str]) -> bool:
    """Says whether rows were dropped by their label.

    Args:
        before: The examples as they were read.
        after: What `arrange` made of them.
        parts: The splits that count; where one is drawn from `train`, that counts for it.

    Returns:
        True or False.
    """
    if after.splits is None:
        return False
    whole = before.splits or {"train": before.labels}
    return any(len(after.splits[part]) < len(whole[part]) for part in parts if part in whole)


def check_renaming(renamed: Mapping[str, Any], read: Sequence[Examples]) -> None:
    """Refuses names of classes that occur nowhere.

    Args:
        renamed: `config.data.rename_classes`.
        read: The examples of all domains.

    Raises:
        ValueError: With the name and the nearest that occurs, or with what is no name.
    """
    names = {name for examples in read for name in examples.classes}
    for name, new in renamed.items():
        if name not in names:
            raise ValueError(
                f"config.data.rename_classes names the class {name!r}; "
                f"{suggest(name, sorted(names))}"
            )
        if not isinstance(new, str):
            raise ValueError(f"config.data.rename_classes.{name} is {new!r}; it must be text")


def check_sources(
    config: Mapping[str, Any], names: Sequence[str], arranged: Sequence[Examples]
) -> None:
    """Refuses sources whose classes differ, where the config does not say which ones count.

    Args:
        config: The resolved config.
        names: The sources.
        arranged: Their examples, each with all its own classes or with the wanted ones.

    Raises:
        ValueError: Two sources whose classes differ.
    """
    for name, own in zip(names, arranged, strict=True):
        if set(own.classes) != set(arranged[0].classes):
            raise ValueError(
                f"config.source is {config['source']!r}; {names[0]!r} has the classes "
                f"{list_names(arranged[0].classes)}, {name!r} {list_names(own.classes)}: name "
                "those that they share in config.data.classes, or make names equal by "
                "config.data.rename_classes"
            )


def check_classes(config: Mapping[str, Any], source: Examples, target: Examples) -> None:
    """Refuses domains whose classes differ, where the config does not say which ones count.

    Args:
        config: The resolved config.
        source: The source with the task's classes.
        target: The target with all its own.

    Raises:
        ValueError: A source without labels or with a single class, or classes that differ.
    """
    if not source.classes:
        raise ValueError(
            f"config.source is {config['source']!r}, which has no labels; a source needs them"
        )
    common = [name for name in source.classes if name in target.classes]
    chosen = config["data"]["classes"] and common
    if target.classes and set(source.classes) != set(target.classes) and not chosen:
        raise ValueError(
            f"config.source is {config['source']!r} with the classes {list_names(source.classes)}, "
            f"config.target {config['target']!r} with {list_names(target.classes)}; name those "
            "that the task is about by config.data.classes "
            f"({list_names(common) if common else 'none'} in common), or bring names together by "
            "config.data.rename_classes"
        )
    if len(source.classes) < 2:
        raise ValueError(
            f"config.source {config['source']!r} gives the task the class "
            f"{list_names(source.classes)} alone; a task needs at least two"
        )


def check_target_classes(config: Mapping[str, Any], source: Examples, target: Examples) -> None:
    """Refuses a partial set of the target's classes that cannot be kept apart.

    Args:
        config: The resolved config.
        source: The source with the task's classes.
        target: The target with all its own.

    Raises:
        ValueError: A class that the task or the target lacks, or target examples without a label,
            of which nobody can say whether they are to be left out.
    """
    kept = config["data"]["target_classes"]
    legal = [name for name in source.classes if name in target.classes]
    for index, name in enumerate(kept):
        check_name(f"config.data.target_classes[{index}]", name, legal)
    count = int((target.labels == UNLABELLED).sum())
    if kept and count:
        raise ValueError(
            f"config.data.target_classes picks the target's examples by label, and {count} of "
            f"config.target {config['target']!r} have none; leave it empty"
        )


def list_names(names: Sequence[str]) -> str:
    """Writes names, the first few of many.

    Args:
        names: The names.

    Returns:
        Part of a sentence.
    """
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return ", ".join(names[:MAX_NAMED]) + more
