"""Reads the tensors of files that `torch.save` wrote, without running what else is in them."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

# Under which a training program keeps the tensors of its network, in the order of preference.
TABLES = ("state_dict", "model_state_dict", "model", "net", "network")


def read_torch(path: Path) -> dict[str, np.ndarray]:
    """Reads what `torch.save` wrote, in its present or its former format.

    Such a file is a program that builds objects. PyTorch runs it with nothing but tensors and
    plain containers at hand (`weights_only=True`), and refuses everything else.

    Args:
        path: A file that holds a table of tensors, or one that holds such a table beside other
            things under a name of `TABLES`.

    Returns:
        Arrays by name.

    Raises:
        ValueError: No PyTorch, or a file that is broken, has code in it, or has no such table.
    """
    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ValueError(
            f"{path} was written by PyTorch, which is not installed here: install it by "
            '`pip install -e ".[torch]"`, or turn the file into safetensors on a machine that '
            f"has it, by `python launch.py convert {path}`"
        ) from None
    try:
        with warnings.catch_warnings(action="ignore"):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        raise ValueError(
            f"{path} holds more than tensors{f' ({found[1]})' if found else ''}; such a file can "
            "run code, so it was not read: where you trust it, save model.state_dict() alone"
        ) from None
    except Exception as error:  # Broken files reach us as many types.
        told = (str(error).strip() or repr(error)).splitlines()[0]
        raise ValueError(f"{path} is no whole file of torch.save: {told}") from None
    table = _find_table(path, content)
    return {name: _as_array(path, name, tensor) for name, tensor in table.items()}


def _find_table(path: Path, content: Any) -> Mapping[str, Any]:
    """Returns the table of tensors in a file."""

    def has_tensors(value: Any) -> bool:
        return isinstance(value, Mapping) and any(map(_is_tensor, value.values()))

    if has_tensors(content):
        return content
    if isinstance(content, Mapping):
        for name in TABLES:
            if has_tensors(content.get(name)):
                return content[name]
        content = ", ".join(map(str, content)) or "nothing"
    else:
        content = f"a {type(content).__name__}"
    raise ValueError(
        f"{path} holds {content}; it must hold tensors by name, or such a table as one of "
        f"{', '.join(TABLES)}"
    )


def _is_tensor(value: Any) -> bool:
    import torch  # pyright: ignore[reportMissingImports]

    return isinstance(value, torch.Tensor)


def _as_array(path: Path, name: str, tensor: Any) -> np.ndarray:
    import torch  # pyright: ignore[reportMissingImports]

    if not _is_tensor(tensor):
        raise ValueError(f"{path}: {name} is a {type(tensor).__name__}, among tensors")
    if tensor.layout != torch.strided or tensor.is_quantized:
        raise ValueError(
            f"{path}: {name} is a sparse or quantized tensor; only dense ones are read"
        )
    tensor = tensor.detach()
    # NumPy has no bfloat16.
    return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
