"""A run and the run that it starts from, which is trained before it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from common.experiment import folder
from common.experiment.check import check_keys
from common.experiment.weights.pretrained import check_sha256
from common.training.hparam import flatten

# Of each pair a run has one at most.
EXCLUSIVE = (("run", "method"), ("run", "weights"))
# What a parent has in common with its child, or never has.
NOT_OVERRIDDEN = ("experiment", "init_from", "method", "runtime")
OF_PARENT = "the run that config.init_from starts from: "


def resolve_family(
    config: Any, changes: Mapping[str, Any], defaults: Any, method_row: Any
) -> list[dict[str, Any]]:
    """Resolves a config, and those of the runs which it starts from where they are trained first.

    `config.init_from.method` names the parent's row. The parent is the same config turned into
    that row, with `config.init_from.overrides` applied and no parent but the row's own, which is
    resolved in the same way; seed, data, model, optimizer, length and runtime are the child's,
    `config.transfer` is that row's own. A parent without labelled target examples is the same
    whatever their number. The child names it by its run id, not by a path.
    `config.init_from.weights` is where the first of them starts.

    Args:
        config: A `ConfigDict` to which the command line's changes were applied.
        changes: These changes, by dotted path.
        defaults: The `ConfigDict` of all keys.
        method_row: Has `set_method` and `check_method`, as `configs.method_row` does.

    Returns:
        The ancestors, the first first, and the child.

    Raises:
        ValueError: Unknown keys, two kinds of parent, a row that starts from itself, an override
            that cannot be, or weights that are missing or others than those asked for.
    """
    _choose_kind(config, changes)
    return _resolve(config, changes, defaults, method_row, ())


def _resolve(
    config: Any, changes: Mapping[str, Any], defaults: Any, method_row: Any, below: tuple[str, ...]
) -> list[dict[str, Any]]:
    """Resolves a config after its ancestors; `below` are the rows that start from it."""
    check_keys(config.to_dict(), defaults.to_dict())
    method_row.check_method(config)
    child = folder.resolve(config)
    if child["init_from"].get("weights"):
        # Known by what it holds: a run is the same wherever the file lies.
        named = child["init_from"]["weights"], child["init_from"]["sha256"]
        child["init_from"]["sha256"] = check_sha256(*named)
    method = config.init_from.method
    if not method:
        return [child]
    rows = (config.method, *below)
    if method in rows:
        raise ValueError(
            f"config.init_from.method is {method!r}, but the row {' and the row '.join(rows)} "
            "would start from it: no run can start from its own end; name a row that starts from "
            "nothing, such as 'source_only'"
        )
    parent = config.copy_and_resolve_references()
    parent.init_from = defaults.init_from.copy_and_resolve_references()
    for name in folder.OF_WEIGHTS:
        parent.init_from[name] = config.init_from[name]
    try:
        method_row.set_method(parent, method)
        # The row's own options, as far as the command line changes them; what is fine-tuned of a
        # network is a matter of each run.
        of_child = ("init_from.", "transfer.")
        own = {path: new for path, new in changes.items() if not path.startswith(of_child)}
        folder.change(parent, own)
        _override(parent, config.init_from.overrides.to_dict())
        _leave_out_unused_labels(parent, defaults)
        family = _resolve(parent, changes, defaults, method_row, rows)
    except ValueError as error:
        sentence = str(error).removeprefix(OF_PARENT)
        raise ValueError(f"{OF_PARENT}{sentence}") from None
    child["init_from"]["parent"] = folder.run_id(family[-1])
    kept = ("last", *family[-1]["evaluation"]["keep"])
    if config.init_from.selection not in kept:
        raise ValueError(
            f"config.init_from.selection is {config.init_from.selection!r}, whose weights "
            f"{method} does not keep; it keeps {', '.join(kept)}: name one of these, or add the "
            "rule to config.evaluation.keep"
        )
    return [*family, child]


def _leave_out_unused_labels(config: Any, defaults: Any) -> None:
    """Sets what only rows with labelled target examples read to what it is by default."""
    if "target_labelled" not in config.domains:
        key = "target_labels_per_class"
        config.data[key] = defaults.data[key]
        config.data.folds, config.data.fold = defaults.data.folds, None
        if "target_labelled" in config.data.batch_sizes:
            del config.data.batch_sizes["target_labelled"]


def _choose_kind(config: Any, changes: Mapping[str, Any]) -> None:
    """Lets a parent of the command line replace one of the file; refuses two parents."""
    for kinds in EXCLUSIVE:
        given = [kind for kind in kinds if changes.get(f"init_from.{kind}")]
        if len(given) == 1:
            config.init_from.update({kind: "" for kind in kinds if kind not in given})
        if given == ["run"]:
            config.init_from.update({"sha256": "", "layout": "", "head": False})
        if all(config.init_from[kind] for kind in kinds):
            told = " and ".join(f"config.init_from.{k} is {config.init_from[k]!r}" for k in kinds)
            raise ValueError(f"{told}: a run starts from one of them; set the other to ''")
    for name in folder.OF_WEIGHTS:
        if config.init_from[name] and not config.init_from.weights:
            raise ValueError(
                f"config.init_from.{name} is {config.init_from[name]!r}, which is about a file of "
                "weights; name one by config.init_from.weights"
            )


def _override(config: Any, overrides: Mapping[str, Any]) -> None:
    """Applies `{dotted key: value}`, or the same nested; an empty dict empties what is there."""
    for path, value in flatten(overrides):
        name = f"config.init_from.overrides has {path!r}"
        if path.split(".")[0] in NOT_OVERRIDDEN:
            raise ValueError(f"{name}, which is the same for both runs; leave it out")
        try:
            *above, last = path.split(".")
            place = config
            for part in above:
                # Groups and terms that the child lacks; keys that no config has are refused later.
                if part not in place:
                    place[part] = ConfigDict()
                place = place[part]
            if isinstance(value, Mapping):
                place[last] = ConfigDict()
            else:
                config.update_from_flattened_dict({path: value})
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"{name}: {value!r}, which cannot be: {error}") from None
