"""The task of a run: its source and its target, with the same classes in the same order."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from common.data import reader
from common.data.domain import DOMAINS, Domain, load_examples, split_drawn
from common.data.example import Examples
from common.legal import suggest

Config = Mapping[str, Any]
Rows = Int[np.ndarray, "row"]

# Numbers of examples without a label, and of a class that the task is not about.
UNLABELLED, DROPPED = -1, -2
MAX_NAMED = 12


def load_task(config: Config) -> dict[str, Domain]:
    """Loads the source and the target of a run.

    Classes are compared by name. `config.data.classes` names those that the task is about, in their
    order; the target may lack some of them. Without it the source's are taken, and the target must
    have the same, or no label at all.

    Args:
        config: The resolved config.

    Returns:
        `source` and `target`. With `config.data.transductive` the target's test pictures are
        trained on too.

    Raises:
        ValueError: Files that are missing or broken, an empty split, labels that are needed and
            missing, or domains whose classes or picture shapes differ.
    """
    data = config["data"]
    read = {role: _read(config, role) for role in ("source", "target")}
    _check_renaming(data["rename_classes"], read)
    renamed = json.dumps(data["rename_classes"], sort_keys=True)
    wanted = tuple(data["classes"])
    source = _arrange(_Same(read["source"]), renamed, wanted, wanted)
    _check_classes(config, source, _arrange(_Same(read["target"]), renamed, (), ()))
    target = _arrange(_Same(read["target"]), renamed, source.classes, ())
    shapes = [examples.images.shape[1:] for examples in (source, target)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"config.source is {config['source']!r} with examples of shape {shapes[0]}, "
            f"config.target {config['target']!r} with {shapes[1]}; they must be the same "
            "(config.data.size and config.data.channels bring pictures from files to one shape, "
            "config.data.num_features vectors)"
        )
    task = {
        role: Domain(config[role], examples, _split(config, role, examples))
        for role, examples in (("source", source), ("target", target))
    }
    _check_labels(config, task)
    if data["transductive"] and "target_labelled" in config["domains"]:
        raise ValueError(
            "config.data.transductive with the domain target_labelled would train on test labels; "
            "set it to False"
        )
    if data["transductive"]:
        target = task["target"]
        seen = np.sort(np.concatenate([target.splits["train"], target.splits["test"]]))
        task["target"] = target._replace(splits={**target.splits, "train": seen})
    return task


def _read(config: Config, role: str) -> Examples:
    """Reads or draws one domain of a task."""
    name, key = config[role], f"config.{role}"
    if not reader.is_read(name):
        if name not in DOMAINS:
            raise ValueError(
                f"{key} is {name!r}; {suggest(name, [*sorted(DOMAINS), *reader.FORMS])}"
            )
        return load_examples(name, config["data"], key)
    options = json.dumps(reader.options_of(config, role), sort_keys=True)
    try:
        return reader.read(name, options)
    except ValueError as error:
        raise ValueError(f"{key} {name!r}: {error}") from error


class _Same:
    """Examples as the key of a cache: equal to themselves alone."""

    def __init__(self, examples: Examples):
        self.examples = examples

    def __hash__(self) -> int:
        return id(self.examples)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.examples is other.examples


# Runs of a population share examples by identity, so equal questions need one answer.
@functools.lru_cache(maxsize=256)
def _arrange(
    same: _Same, renamed: str, classes: tuple[str, ...], must_have: tuple[str, ...]
) -> Examples:
    """Renames classes, drops those that are not wanted and numbers the rest in order.

    Args:
        same: The examples.
        renamed: New names by old name, as JSON.
        classes: The wanted classes in their order; empty for all, in the order they have.
        must_have: Those that must occur.

    Returns:
        The examples; their splits lack the rows of the other classes. Examples without a label
        stay.

    Raises:
        ValueError: A class that must occur and does not.
    """
    examples, names = same.examples, json.loads(renamed)
    own = [names.get(name, name) for name in examples.classes]
    classes = classes or tuple(dict.fromkeys(own))
    missing = [name for name in must_have if name not in own]
    if missing:
        raise ValueError(f"config.data.classes names {_list(missing)}; the source has {_list(own)}")
    if tuple(own) == classes:
        return examples._replace(classes=classes) if own != list(examples.classes) else examples
    number = {name: index for index, name in enumerate(classes)}
    # The last entry is that of examples without a label, whose number is -1.
    numbers = np.asarray([*(number.get(name, DROPPED) for name in own), UNLABELLED], np.int32)
    labels = numbers[examples.labels]
    splits = examples.splits or {"train": np.arange(len(labels), dtype=np.int32)}
    kept = {part: rows[labels[rows] != DROPPED] for part, rows in splits.items()}
    return examples._replace(labels=labels, classes=classes, splits=kept)


def _check_renaming(renamed: Mapping[str, Any], read: Mapping[str, Examples]) -> None:
    names = {name for examples in read.values() for name in examples.classes}
    for name, new in renamed.items():
        if name not in names:
            raise ValueError(
                f"config.data.rename_classes names the class {name!r}; "
                f"{suggest(name, sorted(names))}"
            )
        if not isinstance(new, str):
            raise ValueError(f"config.data.rename_classes.{name} is {new!r}; it must be text")


def _check_classes(config: Config, source: Examples, target: Examples) -> None:
    """Refuses domains whose classes differ, where the config does not say which ones count."""
    if not source.classes:
        raise ValueError(
            f"config.source is {config['source']!r}, which has no labels; a source needs them"
        )
    common = [name for name in source.classes if name in target.classes]
    if not target.classes or set(source.classes) == set(target.classes):
        return
    if config["data"]["classes"] and common:
        return
    raise ValueError(
        f"config.source is {config['source']!r} with the classes {_list(source.classes)}, "
        f"config.target {config['target']!r} with {_list(target.classes)}; name those that the "
        f"task is about by config.data.classes ({_list(common) if common else 'none'} in common), "
        "or bring names together by config.data.rename_classes"
    )


def _check_labels(config: Config, task: Mapping[str, Domain]) -> None:
    """Refuses examples without a label where labels are trained on or chosen by."""
    needed = [("source", part) for part in ("train", "val")]
    needed += [("target", "train")] if "target_labelled" in config["domains"] else []
    for role, part in needed:
        domain = task[role]
        count = int((domain.examples.labels[domain.splits[part]] < 0).sum())
        if count:
            raise ValueError(
                f"config.{role} is {domain.name!r}, of whose {len(domain.splits[part])} examples "
                f"in the split {part} {count} have no label; this run needs them"
            )


def _split(config: Config, role: str, examples: Examples) -> Mapping[str, Rows]:
    name, data = config[role], config["data"]
    if reader.is_read(name):
        half = ("source", "target").index(role) if data["disjoint_halves"] else None
        return complete_splits(
            examples,
            *(data["val_share"], data["test_share"], data["split_seed"]),
            half=half,
            key=f"config.{role} {name!r}",
        )
    if data["disjoint_halves"]:
        raise ValueError(
            "config.data.disjoint_halves needs domains in their published order, such as "
            f"tfds:mnist and tfds:mnist_m; config.{role} is {name!r}: set it to False"
        )
    return split_drawn(name, examples, data, data["split_seed"])


def complete_splits(
    examples: Examples,
    val_share: float,
    test_share: float,
    seed: int,
    *,
    half: int | None = None,
    key: str = "the domain",
) -> dict[str, Rows]:
    """Draws the splits that a domain is published without from its training split.

    They are drawn at random, never by label: a split balanced by class would carry target labels
    into training.

    Args:
        examples: The examples. Without splits all of them count as `train`.
        val_share: Share of the published training split that becomes `val`, where there is none.
        test_share: Share that becomes `test`, where there is none.
        seed: `config.data.split_seed`.
        half: 0 or 1 to keep every second row of the published training split, beginning at that
            one; two domains whose rows show the same things in the same order then share none.
        key: Where the domain stands in the config, for messages.

    Returns:
        Disjoint rows for `train`, `val` and `test`.

    Raises:
        ValueError: A split would be empty.
    """
    given = examples.splits or {"train": np.arange(len(examples.labels))}
    if "train" not in given:
        raise ValueError(f"{key} has no split train, but {', '.join(given) or 'none'}")
    pool = given["train"] if half is None else given["train"][half::2]
    drawn = {"test": test_share, "val": val_share}
    counts = {part: round(share * len(pool)) for part, share in drawn.items() if part not in given}
    order = pool[np.random.default_rng([seed, 7]).permutation(len(pool))]
    splits, start = {}, 0
    for part in drawn:
        stop = start + counts.get(part, 0)
        splits[part] = given[part] if part in given else np.sort(order[start:stop])
        start = stop
    splits["train"] = np.sort(order[start:])
    for part, rows in splits.items():
        if not len(rows):
            why = f"{len(pool)} examples are to be split by config.data.val_share {val_share} and "
            why += f"config.data.test_share {test_share}"
            published = part in given and part != "train"
            raise ValueError(
                f"{key}: the split {part} would be empty; "
                + ("it is published empty" if published else why)
            )
    return {part: np.asarray(splits[part], np.int32) for part in ("train", "val", "test")}


def _list(names: Sequence[str]) -> str:
    """Writes names, the first few of many."""
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return ", ".join(names[:MAX_NAMED]) + more
