"""Which values of a config are traced numbers, so that runs that differ in them share a program."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

# The one table: full-match patterns over dotted config paths. Everything else is structure.
PATTERNS = (
    r"seed",
    r"optimizer\.(learning_rate|momentum|weight_decay|gamma|power|warmup)",
    r"optimizer\.groups\.\w+\.learning_rate_factor",
    r"alignment\.\w+\.(weight|strength|gamma|temperature|threshold|radius)",
    r"alignment\.\w+\.(margin|source|feature|label)_factor",
    r"regularization\.\w+\.(weight|head_factor|temperature)",
    r"transfer\.(layer_decay|alpha)",
    r"transfer\.reconstruction\.(ssim_share|noise|masking)",
    r"adaptation\.(weight|threshold|pseudo_label_weight)",
)
_TABLE = re.compile("|".join(f"(?:{pattern})" for pattern in PATTERNS))
# Seeds of the data: every run of a program has arrays of one shape, whatever is in them.
_DATA = re.compile(r"data\.(split_seed|fold|\w+\.seed)")

# Which run or file a run starts from.
_PARENT = re.compile(r"init_from\.(run|method|parent|overrides(\..*)?|weights|sha256|layout|head)")


def flatten(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Walks a nested config.

    Args:
        config: Nested mappings.
        prefix: What to put before each path.

    Yields:
        Pairs of a dotted path and a value; an empty mapping is a value.
    """
    for name, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def make_hparams(config: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Collects the traced values of a config.

    Args:
        config: The resolved config.

    Returns:
        Scalars by dotted path: the seed as uint32, all else as float32.
    """
    return {
        path: np.asarray(value, np.uint32 if path == "seed" else np.float32)
        for path, value in flatten(config)
        if _TABLE.fullmatch(path)
    }


def structure(config: Mapping[str, Any]) -> dict[str, Any]:
    """Keeps what decides the compiled program of a run.

    Args:
        config: The resolved config.

    Returns:
        Values by dotted path, without the traced ones, without `runtime`, and without the seeds
        of splits and of drawn examples, which are data; of the run or the file to start from only
        whether there is one. Runs with equal structure can train in one program.
    """
    kept = {
        path: value
        for path, value in flatten(config)
        if not _TABLE.fullmatch(path)
        and not path.startswith("runtime.")
        and not _DATA.fullmatch(path)
        and not _PARENT.fullmatch(path)
    }
    parents = (config["init_from"].get(name) for name in ("run", "method", "weights"))
    return kept | {"init_from.run": any(parents)}
