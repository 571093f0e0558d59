"""Config files: programs of the user's, which may be missing or raise."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

from common.legal import suggest

PROJECT = Path(__file__).resolve().parents[2]


def load_module(path: str) -> ModuleType:
    """Runs a config file.

    Args:
        path: The file.

    Returns:
        Its module.

    Raises:
        ValueError: No such file, one that raises, or one without `get_config`.
    """
    if not path:
        raise ValueError("--config needs a file, such as --config=configs/digits.py")
    if not Path(path).is_file():
        what = "is a folder" if Path(path).is_dir() else "does not exist"
        folder = Path(path) if Path(path).is_dir() else Path(path).parent
        beside = [str(other) for other in sorted(folder.glob("*.py")) if other.stem != "__init__"]
        raise ValueError(f"--config is {path!r}, which {what}; {suggest(path, beside)}")
    loader = SourceFileLoader("config_file", path)
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    module = module_from_spec(spec)
    with blaming(path):
        loader.exec_module(module)
    if not callable(getattr(module, "get_config", None)):
        raise ValueError(f"{path} has no function get_config(argument)")
    return module


def load_config(file: str) -> Any:
    """Calls a config file's `get_config`.

    Args:
        file: The file, with `:argument` where there is one.

    Returns:
        The `ConfigDict`.

    Raises:
        ValueError: A file that cannot be run, or that gives no config.
    """
    path, separator, argument = file.partition(":")
    module = load_module(path)
    with blaming(path):
        config = module.get_config(*([argument] if separator else []))
    if not hasattr(config, "to_dict"):
        raise ValueError(f"get_config of {path} returns {config!r}; it must return a ConfigDict")
    return config


@contextlib.contextmanager
def blaming(path: str) -> Iterator[None]:
    """Says in one sentence where a config file went wrong.

    Args:
        path: The file whose code runs inside.

    Raises:
        ValueError: With the file, the line and the error; or, where the project itself refused a
            value, with its sentence alone.
    """
    try:
        yield
    except Exception as error:
        raise ValueError(_blame(error, path)) from error


def _blame(error: Exception, path: str) -> str:
    said = " ".join(str(error).split())
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}: {type(error).__name__}: {error.msg}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).resolve() == Path(path).resolve()]
    raised_by = Path(frames[-1].filename).resolve()
    is_refusal = isinstance(error, ValueError) and raised_by.is_relative_to(PROJECT)
    if is_refusal and not (own and own[-1] is frames[-1]):
        return said
    line = f":{own[-1].lineno}" if own else ""
    return f"{path}{line}: {type(error).__name__}: {said}"
