"""The task of a run: its source and its target, with the same classes in the same order."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from common.data import reader
from common.data.arrangement import (
    arrange,
    check_classes,
    check_renaming,
    check_sources,
    check_target_classes,
    list_names,
    lost_rows,
)
from common.data.data_folder import find_prepared
from common.data.domain import DOMAINS, Domain, load_examples, split_drawn
from common.data.example import Examples, is_labelled
from common.data.fold import hold_out, role_of_folds
from common.data.labelled import draw_labelled
from common.data.part import NONE
from common.data.pool import list_sources, pool
from common.data.vocabulary import encode_task, fit_vocabulary
from common.legal import suggest
from common.task_kind import OF_CLASSES, check_heads

Config = Mapping[str, Any]
Rows = Int[np.ndarray, "row"]


def load_task(config: Config) -> dict[str, Domain]:
    """Loads the source and the target of a run; see `_load`. Texts are written as numbers.

    Args:
        config: The resolved config.

    Returns:
        `source` and `target`.

    Raises:
        ValueError: Whatever of the config or its files cannot be.
    """
    task = _load(config)
    return encode_task(task, config["data"]) if reader.is_text(config["source"]) else task


def _load(config: Config) -> dict[str, Domain]:
    """Loads the source and the target of a run, texts as they are read.

    Classes are compared by name. `config.data.classes` names those that the task is about, in their
    order; the target may lack some of them. Without it the source's are taken, and the target must
    have the same, or no label at all; several sources must agree, and are pooled.
    `config.data.target_classes` leaves the target, in all its splits, the examples of these
    classes; the task keeps the source's.

    Args:
        config: The resolved config.

    Returns:
        `source` and `target`. With `config.data.transductive` the target's test pictures are
        trained on too. With `config.data.target_labels_per_class` a target whose labels are trained
        on has the split `labelled`, which is part of `train`. With `config.data.fold` the labelled
        role has the split `held_out`.

    Raises:
        ValueError: Files that are missing or broken, keys that would be ignored, an empty split,
            fewer than two classes, labels that are needed and missing, or domains whose classes or
            picture shapes differ.
    """
    data = config["data"]
    sources = list_sources(config["source"])
    names = {"source": sources, "target": [config["target"]]}
    reader.check_unread(config, names)
    if len(sources) > 1 and config["evaluation"]["reverse_validation"]:
        raise ValueError(
            f"config.evaluation.reverse_validation trains back to one source, and config.source is "
            f"{config['source']!r}; set it to False"
        )
    read_sources = [_read(config, "source", name) for name in sources]
    read_target = _read(config, "target", config["target"])
    if data["disjoint_halves"]:
        _check_halves(config, names)
    if config["task"]["kind"] not in OF_CLASSES:
        return _load_values(config, sources, read_sources, read_target)
    renamed = data["rename_classes"]
    check_renaming(renamed, [*read_sources, read_target])
    pooled = _pool_sources(config, sources, read_sources)
    source = pooled.examples
    shown = arrange(read_target, renamed, ())
    check_classes(config, source, shown)
    if config["task"]["kind"] == "binary" and len(source.classes) != 2:
        raise ValueError(
            f"config.task.kind is 'binary', and config.source {config['source']!r} gives the task "
            f"{len(source.classes)} classes; name two by config.data.classes"
        )
    check_target_classes(config, source, shown)
    kept = data["target_classes"]
    target = arrange(read_target, renamed, source.classes, kept=kept)
    _check_shapes(config, source, target)
    target_splits = _split(config, "target", config["target"], target)
    task = {"source": pooled, "target": Domain(config["target"], target, target_splits)}
    _check_labels(config, task)
    has_labels = "target_labelled" in config["domains"]
    if data["transductive"] and has_labels and not data["target_labels_per_class"]:
        raise ValueError(
            "config.data.transductive with the domain target_labelled would train on test labels; "
            "set it to False, or the number of labels by config.data.target_labels_per_class"
        )
    trained = ("train", "val", *["test"] * data["transductive"])
    splits = dict(task["target"].splits)
    if has_labels and data["target_labels_per_class"]:
        named = [name for name in kept or target.classes if name in shown.classes]
        splits["labelled"] = draw_labelled(config, target, splits["train"], named)
    role = role_of_folds(config)
    if role == "target":
        splits = hold_out(config, splits, role)
    if data["transductive"]:
        splits["train"] = np.sort(np.concatenate([splits["train"], splits["test"]]))
    chosen = lost_rows(read_target, target, trained)
    if role == "source":
        if pooled.origin is not None:
            raise ValueError(
                "config.data.fold holds examples of one source out, and config.source is "
                f"{config['source']!r}; cross-validate with one source"
            )
        task["source"] = pooled._replace(splits=hold_out(config, pooled.splits, role))
    return {**task, "target": Domain(config["target"], target, splits, chosen)}


def load_vocabulary(config: Config) -> tuple[str, ...]:
    """Lists the words that have a number for a run on texts.

    Args:
        config: The resolved config.

    Returns:
        The words, as `fit_vocabulary` gives them.
    """
    source = _load(config)["source"]
    texts = source.examples.images[source.splits["train"]].tolist()
    return fit_vocabulary(texts, config["data"]["vocabulary_size"])


def load_beside_source(config: Config, name: str) -> dict[str, Domain]:
    """Loads the source of a run, and any domain as the run would read it as its target.

    Args:
        config: The resolved config of the run.
        name: The domain.

    Returns:
        `source`, and `target` with all examples, with the splits that it is published with and no
        others. The number of an example of another class than the source's is negative.

    Raises:
        ValueError: Files that are missing or broken, or examples of another shape than the
            source's.
    """
    data = {**config["data"], "disjoint_halves": False}
    if name != config["target"]:
        data["target_splits"] = dict.fromkeys(data["target_splits"], "")
    own = {**config, "target": name, "data": data}
    sources = list_sources(config["source"])
    reader.check_unread(own, {"source": sources, "target": [name]})
    read_sources = [_read(own, "source", source) for source in sources]
    examples = _read(own, "target", name)
    has_splits = examples.splits is not None
    if config["task"]["kind"] in OF_CLASSES:
        source = _pool_sources(config, sources, read_sources)
        examples = arrange(examples, data["rename_classes"], source.examples.classes)
    else:
        source = _pool_all(config, sources, read_sources)
        if examples.classes not in ((), source.examples.classes):
            raise ValueError(
                f"{name!r} has the labels {list_names(examples.classes)}, and the source "
                f"{list_names(source.examples.classes)}; they must be the same in the same order"
            )
    _check_shapes(own, source.examples, examples)
    if role_of_folds(config) == "source":
        # What is fitted to the source's training examples was so without those held out.
        source = source._replace(splits=hold_out(config, source.splits, "source"))
    splits = examples.splits if has_splits and examples.splits else {}
    task = {"source": source, "target": Domain(name, examples, splits)}
    return encode_task(task, data) if reader.is_text(name) else task


def _pool_sources(
    config: Config, sources: Sequence[str], read_sources: Sequence[Examples]
) -> Domain:
    """Numbers the classes of all sources alike, and puts them together."""
    renamed, wanted = config["data"]["rename_classes"], config["data"]["classes"]
    arranged = [arrange(own, renamed, wanted, must_have=wanted) for own in read_sources]
    check_sources(config, sources, arranged)
    classes = arranged[0].classes
    others = [arrange(own, renamed, classes) for own in read_sources[1:]]
    return _pool_all(config, sources, [arranged[0], *others])


def _pool_all(config: Config, sources: Sequence[str], examples: Sequence[Examples]) -> Domain:
    """Splits each source as if it were alone, and puts them together."""
    return pool(
        config["source"],
        [
            Domain(name, own, _split(config, "source", name, own))
            for name, own in zip(sources, examples, strict=True)
        ],
    )


def _load_values(
    config: Config, sources: Sequence[str], read_sources: Sequence[Examples], target: Examples
) -> dict[str, Domain]:
    """Puts together a task whose labels are several of an example, or values."""
    first = read_sources[0]
    if not first.classes:
        raise ValueError(
            f"config.source is {config['source']!r}, which has no labels; a source needs them"
        )
    named = dict(zip(sources, read_sources, strict=True)) | {config["target"]: target}
    for name, own in named.items():
        if own.classes and own.classes != first.classes:
            raise ValueError(
                f"config.source {sources[0]!r} has the labels {list_names(first.classes)}, "
                f"{name!r} {list_names(own.classes)}; they must be the same in the same order"
            )
    if config["task"]["kind"] == "multi_task":
        for own in named.values():
            check_heads(config["task"], own.labels, own.classes)
    if not target.classes:
        if config["task"]["kind"] != "segmentation":
            unknown = np.full((len(target.labels), len(first.classes)), np.nan, np.float32)
            target = target._replace(labels=unknown)
    pooled = _pool_all(config, sources, read_sources)
    _check_shapes(config, pooled.examples, target)
    splits = dict(_split(config, "target", config["target"], target))
    task = {"source": pooled, "target": Domain(config["target"], target, splits)}
    _check_missing(config, task)
    if config["data"]["transductive"]:
        if "target_labelled" in config["domains"]:
            raise ValueError(
                "config.data.transductive with the domain target_labelled would train on test "
                "labels; set it to False"
            )
        splits["train"] = np.sort(np.concatenate([splits["train"], splits["test"]]))
    return task


def _check_shapes(config: Config, source: Examples, target: Examples) -> None:
    """Refuses domains whose examples differ in shape."""
    shapes = [examples.images.shape[1:] for examples in (source, target)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"config.source is {config['source']!r} with examples of shape {shapes[0]}, "
            f"config.target {config['target']!r} with {shapes[1]}; they must be the same "
            "(config.data.size and config.data.channels bring pictures from files to one shape, "
            "config.data.num_features vectors)"
        )


def _read(config: Config, role: str, name: str) -> Examples:
    """Reads or draws one domain of a task."""
    key, kind = f"config.{role}", config["task"]["kind"]
    legal = ("npz",) if kind == "segmentation" else reader.OF_VALUES
    if kind not in OF_CLASSES and name.partition(":")[0] not in legal:
        raise ValueError(
            f"{key} is {name!r}, whose labels are classes, and config.task.kind is {kind!r}; name "
            f"a domain with such labels, {' or '.join(f'{own}:...' for own in legal)}"
        )
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


def _check_labels(config: Config, task: Mapping[str, Domain]) -> None:
    """Refuses labels that are missing, and classes that no training example shows."""
    _check_missing(config, task)
    source = task["source"]
    shown = source.examples.labels[source.splits["train"]]
    counts = np.bincount(shown, minlength=len(source.examples.classes))
    missing = [source.examples.classes[number] for number in np.flatnonzero(counts == 0)]
    if missing:
        raise ValueError(
            f"config.source is {source.name!r}, of whose {len(shown)} training examples none shows "
            f"{list_names(missing)}; a class without one cannot be learnt: leave it out by "
            "config.data.classes, or give the training split more examples"
        )


def _check_missing(config: Config, task: Mapping[str, Domain]) -> None:
    """Refuses labels that are missing where they are trained on or chosen by."""
    needed = [("source", part) for part in ("train", "val")]
    if "target_labelled" in config["domains"] and not config["data"]["target_labels_per_class"]:
        needed.append(("target", "train"))
    for role, part in needed:
        domain = task[role]
        count = int((~is_labelled(domain.examples.labels[domain.splits[part]])).sum())
        if count:
            raise ValueError(
                f"config.{role} is {domain.name!r}, of whose {len(domain.splits[part])} examples "
                f"in the split {part} {count} have no label; this run needs them"
            )


def _check_halves(config: Config, names: Mapping[str, Sequence[str]]) -> None:
    """Refuses halves of rows that do not stand in the published order in both domains."""
    for role, name in [(role, own) for role, listed in names.items() for own in listed]:
        key = f"config.{role}"
        for part, written in config["data"][f"{role}_splits"].items():
            if written.strip() not in ("", NONE):
                raise ValueError(
                    f"config.data.disjoint_halves takes every second row of the published splits, "
                    f"and config.data.{role}_splits.{part} is {written!r}: empty one or set the "
                    "other to False"
                )
        is_prepared = name.startswith("tfds:")
        if not reader.is_read(name):
            said = f"{key} is {name!r}"
        elif (
            is_prepared
            and not (found := find_prepared(name, config["runtime"]["data_dir"])).in_order
        ):
            said = f"{key} {name!r} (version {found.version}) was shuffled when it was prepared"
        else:
            continue
        raise ValueError(
            "config.data.disjoint_halves needs domains in their published order, such as "
            f"tfds:mnist:4.0.0 and tfds:mnist_m; {said}: name such a domain or set it to False"
        )


def _split(config: Config, role: str, name: str, examples: Examples) -> Mapping[str, Rows]:
    data = config["data"]
    if reader.is_read(name):
        half = ("source", "target").index(role) if data["disjoint_halves"] else None
        return complete_splits(
            examples,
            *(data["val_share"], data["test_share"], data["split_seed"]),
            half=half,
            key=f"config.{role} {name!r}",
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
        half: 0 or 1 to keep the even or odd rows of the published training split; two domains
            whose rows show the same things in the same order then share none, also where the rows
            of some classes are left out.
        key: Where the domain stands in the config, for messages.

    Returns:
        Disjoint rows for `train`, `val` and `test`.

    Raises:
        ValueError: A split would be empty.
    """
    given = examples.splits or {"train": np.arange(len(examples.labels))}
    if "train" not in given:
        raise ValueError(f"{key} has no split train, but {', '.join(given) or 'none'}")
    pool = given["train"] if half is None else given["train"][given["train"] % 2 == half]
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
