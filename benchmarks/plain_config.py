"""Reads the project's configs where ml_collections is not installed."""

from __future__ import annotations

import sys
import types
from typing import Any


class PlainDict(dict):
    """A dict whose keys are attributes too, as far as `configs/` needs a `ConfigDict`."""

    def __init__(self, values: Any = (), **options: Any):
        """Copies values; nested dicts become plain dicts of this kind.

        Args:
            values: A mapping.
            **options: Those of a `ConfigDict`, which have no meaning here.
        """
        super().__init__()
        for key, value in dict(values).items():
            self[key] = value

    def __setitem__(self, key: str, value: Any) -> None:
        """Keeps a value; None stands for a placeholder."""
        is_plain = isinstance(value, dict) and not isinstance(value, PlainDict)
        super().__setitem__(key, PlainDict(value) if is_plain else value)

    __setattr__ = __setitem__

    def __getattr__(self, key: str) -> Any:
        """Finds a key.

        Raises:
            AttributeError: There is none.
        """
        try:
            return self[key]
        except KeyError:
            raise AttributeError(key) from None

    def update(self, values: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Changes keys, and those of nested dicts one by one."""
        for key, value in values.items():
            if isinstance(value, dict) and isinstance(self.get(key), PlainDict):
                self[key].update(value)
            else:
                self[key] = value

    def to_dict(self) -> dict[str, Any]:
        """Returns a dict of the usual kind."""
        return {
            key: value.to_dict() if isinstance(value, PlainDict) else value
            for key, value in self.items()
        }


def stand_in() -> None:
    """Puts `PlainDict` in the place of ml_collections, where that is missing."""
    try:
        import ml_collections  # noqa: F401
    except ImportError:
        whole = types.ModuleType("ml_collections")
        part = types.ModuleType("ml_collections.config_dict")
        vars(whole).update(ConfigDict=PlainDict, config_dict=part)
        vars(part).update(ConfigDict=PlainDict, placeholder=lambda kind: None)
        sys.modules |= {"ml_collections": whole, "ml_collections.config_dict": part}
