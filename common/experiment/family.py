"""A run and the run that it starts from, which is trained before it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from common.experiment import folder
from common.experiment.check import check_keys
from common.training.hparam import flatten

KINDS = ("run", "method")
# What a parent has in common with its child, or never has.
NOT_OVERRIDDEN = ("experiment", "init_from", "method", "runtime")


def resolve_family(config: Any, changes: Mapping[str, Any], base: Any) -> list[dict[str, Any]]:
    """Resolves a config, and that of the run which it starts from where that is trained first.

    `config.init_from.method` names the parent's row. The parent is the same config turned into
    that row, with `config.init_from.overrides` applied and no parent of its own; seed, data, model,
    optimizer, length and runtime are the child's. The child names it by its run id, not by a path.

    Args:
        config: A `ConfigDict` to which the command line's changes were applied.
        changes: These changes, by dotted path.
        base: Has `get_config`, `set_method` and `check_method`, as `configs.base` does.

    Returns:
        `[parent, child]`, or the child alone.

    Raises:
        ValueError: Unknown keys, both kinds of parent, a row that starts from a run itself, or an
            override that cannot be.
    """
    defaults = base.get_config()

    def check(own: Any) -> None:
        check_keys(own.to_dict(), defaults.to_dict())
        base.check_method(own)

    check(config)
    _choose_kind(config, changes)
    child = folder.resolve(config)
    if not config.init_from.method:
        return [child]
    parent = config.copy_and_resolve_references()
    parent.init_from = defaults.init_from
    try:
        base.set_method(parent, config.init_from.method)
        if parent.init_from.method:
            raise ValueError(
                f"method is {config.init_from.method!r}, which starts from another run itself; "
                "name a row that does not, such as 'source_only'"
            )
        # The row's own options, as far as the command line changes them.
        own = {path: new for path, new in changes.items() if not path.startswith("init_from.")}
        folder.change(parent, own)
        _override(parent, config.init_from.overrides.to_dict())
        check(parent)
    except ValueError as error:
        raise ValueError(f"the run that config.init_from starts from: {error}") from None
    resolved = folder.resolve(parent)
    child["init_from"]["parent"] = folder.run_id(resolved)
    return [resolved, child]


def _choose_kind(config: Any, changes: Mapping[str, Any]) -> None:
    """Lets a parent of the command line replace one of the file; refuses two parents."""
    given = [kind for kind in KINDS if changes.get(f"init_from.{kind}")]
    if len(given) == 1:
        config.init_from.update({kind: "" for kind in KINDS if kind not in given})
    run, method = (config.init_from[kind] for kind in KINDS)
    if run and method:
        raise ValueError(
            f"config.init_from.run is {run!r} and config.init_from.method is {method!r}: a run "
            "starts from one of them; set the other to ''"
        )


def _override(config: Any, overrides: Mapping[str, Any]) -> None:
    """Applies `{dotted key: value}`, or the same nested; an empty dict empties what is there."""
    for path, value in flatten(overrides):
        name = f"config.init_from.overrides has {path!r}"
        if path.split(".")[0] in NOT_OVERRIDDEN:
            raise ValueError(f"{name}, which is the same for both runs; leave it out")
        try:
            if isinstance(value, Mapping):
                above, _, last = path.rpartition(".")
                (config[above] if above else config)[last] = ConfigDict()
            else:
                config.update_from_flattened_dict({path: value})
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"{name}: {value!r}, which cannot be: {error}") from None
