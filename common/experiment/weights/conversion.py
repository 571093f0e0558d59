"""Turns files of weights into safetensors files, once, where PyTorch is installed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from absl import flags

from common.experiment import outcome
from common.experiment.output_file import free_file, replacing
from common.experiment.weights.location import find_weights, sha256_of
from common.experiment.weights.tensor_file import read_tensors

SUFFIX = ".safetensors"


def convert(arguments: Sequence[str]) -> None:
    """Turns the file of the command line into a safetensors file, and says what it wrote.

    Args:
        arguments: Words that are no flags: the file.

    Raises:
        UsageError: No file, several, or one that cannot be read.
    """
    if len(arguments) != 1:
        raise outcome.UsageError(f"convert takes one file, not {' '.join(arguments) or 'none'}")
    with outcome.refusing():
        print(convert_file(arguments[0], flags.FLAGS["output"].value))


def convert_file(name: str, output: str | None) -> str:
    """Writes the tensors of a file under the same names into a safetensors file.

    Args:
        name: A path, or an id of the hub, as in `config.init_from.weights`.
        output: Where to; None for the same place with the suffix `.safetensors`.

    Returns:
        What was written, with its hash, for a person.

    Raises:
        ValueError: A file that cannot be read, or a name that is taken or has another suffix.
        RunFailed: The file system refuses it; nothing is left behind.
    """
    from safetensors.numpy import save

    source = find_weights(name)[0]
    target = free_file(output or source.with_suffix(SUFFIX), (SUFFIX,))
    tensors = read_tensors(source)
    ours = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    with replacing(target) as temporary:
        temporary.write_bytes(save(ours))
    return f"{len(ours)} tensors: {target} (SHA-256 {sha256_of([target])})"
