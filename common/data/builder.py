"""Who prepares a data set: a builder of ours, or one of the catalogue of TFDS."""

from __future__ import annotations

import contextlib
import difflib
import importlib
import io
from collections.abc import Sequence
from typing import Any

from common.data.catalogue import DEFAULT_CONFIGS, OWN_BUILDERS, catalogue_names, check_set
from common.data.data_name import Name
from common.data.preparation_error import explain
from common.experiment.outcome import RunFailed

# Parts that a sentence names of many.
SHOWN = 5


def find_builder(name: Name) -> tuple[Any, list[Any]]:
    """Finds a data set's builder.

    Args:
        name: The name, taken apart.

    Returns:
        The builder's class, and what to prepare: the config that is named or usual, or all domains
        of a set of ours; one empty name where the set has no parts.

    Raises:
        ValueError: An unknown set, part or version.
        RunFailed: The builder cannot be imported.
    """
    check_set(name.set)
    module = importlib.import_module(OWN_BUILDERS[name.set]) if name.set in OWN_BUILDERS else None
    if module and name.version in ("", str(module.Builder.VERSION)):
        builder: Any = module.Builder
    elif module and name.set not in catalogue_names():
        raise ValueError(_refuse_version(name, str(module.Builder.VERSION)))
    else:
        builder, module = _import_from_catalogue(name.set), None
    legal = [own.name for own in builder.BUILDER_CONFIGS]
    config = name.config or (DEFAULT_CONFIGS.get(name.set, "") if module else "")
    if config and config not in legal:
        # Sets that are drawn can be made in any size, which stands in the part's name.
        configs = [getattr(module, "find_config", lambda part: None)(config)]
    else:
        configs = [config] if config or not legal else legal if module else legal[:1]
    if configs[0] is None or (len(legal) > 1 and not config and not module):
        raise ValueError(_refuse_part(name, legal))
    version = getattr(configs[0], "version", None) or builder.VERSION
    if name.version and not module and name.version != str(version):
        raise ValueError(_refuse_version(name, str(version)))
    return builder, configs


def needs_manual_folder(name: Name) -> bool:
    """Says whether a data set is made of files that a person has to get.

    Args:
        name: The name, taken apart.

    Returns:
        Whether its builder tells how to get them; False where there is no builder to ask.
    """
    try:
        builder, _ = find_builder(name)
    except (ValueError, RunFailed):
        return False
    return bool(builder.MANUAL_DOWNLOAD_INSTRUCTIONS)


def _import_from_catalogue(name: str) -> Any:
    import tensorflow_datasets as tfds

    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return tfds.builder_cls(name)
    except Exception as error:
        raise explain(error, name) from error


def _refuse_version(name: Name, version: str) -> str:
    return f"{name.set}:{name.version} cannot be prepared; its builder makes version {version}"


def _refuse_part(name: Name, legal: Sequence[str]) -> str:
    if not legal:
        return f"{name.set} has no parts; write {name.set} instead of {name.set}/{name.config}"
    near = difflib.get_close_matches(name.config, legal, SHOWN)
    shown = [f"{name.set}/{part}" for part in dict.fromkeys([*near, *legal])][:SHOWN]
    some = ", ".join(shown) + ", ..." * (len(legal) > SHOWN)
    wrong = (
        f"no part {name.config!r} but" if name.config else "parts, of which one has to be named:"
    )
    return f"{name.set} has {wrong} {some} ({len(legal)} in all)"
