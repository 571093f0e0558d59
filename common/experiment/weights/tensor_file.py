"""Reads files of named tensors, none of which can run code."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from common.experiment.weights.torch_file import read_torch
from common.legal import suggest

INDEX = ".index.json"
Tensors = dict[str, np.ndarray]


def read_tensors(path: Path) -> Tensors:
    """Reads a file of named tensors.

    Args:
        path: A file whose name ends in one of `READERS`: safetensors, also in parts listed by an
            index; npz; or what `torch.save` wrote, of which nothing but tensors is ever built.

    Returns:
        Arrays by name. Floating-point numbers of fewer than 32 bits are float32.

    Raises:
        ValueError: A file that is missing, broken or of another kind, or that holds code.
    """
    suffix = next((end for end in READERS if path.name.lower().endswith(end)), None)
    if suffix is None:
        raise ValueError(
            f"{path} is no file of weights by its name; {suggest(path.suffix, READERS)}"
        )
    if not path.is_file():
        raise ValueError(f"{path} does not exist")
    tensors = READERS[suffix](path)
    if not tensors:
        raise ValueError(f"{path} holds no tensor")
    return {name: _widen(array) for name, array in tensors.items()}


def list_shards(path: Path) -> list[Path]:
    """Lists the files over which an index spreads its tensors.

    Args:
        path: A file of weights.

    Returns:
        Files beside the index, sorted; none for a file that is no index.

    Raises:
        ValueError: An index that cannot be read, or that names a file elsewhere.
    """
    if not path.name.lower().endswith(INDEX):
        return []
    return [path.with_name(name) for name in sorted(set(_read_index(path).values()))]


def _read_index(path: Path) -> dict[str, str]:
    """Returns the file of each tensor."""
    try:
        files = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
        files = {str(tensor): str(name) for tensor, name in files.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} is no index of weights in parts, which has a 'weight_map': {error!r}"
        ) from None
    for name in files.values():
        if Path(name).name != name or not name.endswith(".safetensors"):
            raise ValueError(
                f"{path} names {name!r}; the parts of an index are .safetensors files beside it"
            )
    return files


def _read_parts(path: Path) -> Tensors:
    """Reads the safetensors files of an index."""
    promised = _read_index(path)
    tensors: Tensors = {}
    for part in list_shards(path):
        if not part.is_file():
            raise ValueError(f"{part} does not exist, and {path.name} names it")
        tensors |= _read_safetensors(part)
    for kind, names in (
        ("lacks", sorted(set(promised) - set(tensors))),
        ("does not name", sorted(set(tensors) - set(promised))),
    ):
        if names:
            which = "none of its parts holds" if kind == "lacks" else "its parts hold"
            raise ValueError(f"{path} {kind} {names[0]}: {which} it")
    return tensors


def _read_safetensors(path: Path) -> Tensors:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, TypeError, KeyError) as error:
        raise ValueError(f"{path} is no whole safetensors file: {_first_line(error)}") from None


def _read_npz(path: Path) -> Tensors:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (AttributeError, TypeError):
        raise ValueError(f"{path} holds one array without a name, not an npz archive") from None
    except (OSError, ValueError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is no whole npz file of numbers: {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    return (str(error).strip() or repr(error)).splitlines()[0]


def _widen(array: np.ndarray) -> np.ndarray:
    """Turns short floating-point numbers, bfloat16 among them, into float32."""
    is_whole = array.dtype.kind in "iub"
    return array if is_whole or array.dtype.itemsize >= 4 else array.astype(np.float32)


READERS: Mapping[str, Callable[[Path], Tensors]] = {
    ".safetensors": _read_safetensors,
    INDEX: _read_parts,
    ".npz": _read_npz,
    **dict.fromkeys((".pth", ".pt", ".th", ".bin"), read_torch),
}
