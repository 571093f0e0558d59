"""Fetches weights from the Hugging Face hub, or takes them from its cache."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import NamedTuple

from common.experiment.weights.tensor_file import list_shards

PREFIX = "hf:"
FORM = "hf:<owner>/<name>[@<revision>][:<file>]"
# What is looked for where no file is named; the first needs no PyTorch.
FILES = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin")
_ID = re.compile(
    r"hf:(?P<repository>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?(:(?P<file>[\w./-]+))?"
)


class HubId(NamedTuple):
    """The name of weights on the hub, taken apart.

    Attributes:
        repository: Such as `timm/resnet18.a1_in1k`.
        revision: A branch, tag or commit; None for the newest.
        file: None for the first of `FILES` that is there.
    """

    repository: str
    revision: str | None
    file: str | None


def parse_id(name: str) -> HubId:
    """Takes the name of weights on the hub apart.

    Args:
        name: In the form `FORM`.

    Returns:
        Its parts.

    Raises:
        ValueError: Another form.
    """
    if not (match := _ID.fullmatch(name)):
        raise ValueError(f"{name!r} names no weights of the hub; write {FORM}")
    return HubId(match["repository"], match["revision"], match["file"])


def fetch(name: str) -> Path:
    """Finds weights of the hub on this machine, after fetching them where that is needed.

    The cache is the hub's own (`HF_HOME` or `HF_HUB_CACHE`), and so is its offline mode
    (`HF_HUB_OFFLINE=1`).

    Args:
        name: In the form `FORM`.

    Returns:
        The file; the parts that an index names lie beside it.

    Raises:
        ValueError: No such weights, no package to fetch them with, or a closed network and nothing
            in the cache.
    """
    repository, revision, file = parse_id(name)
    try:
        from huggingface_hub import (  # pyright: ignore[reportMissingImports]
            constants,
            errors,
            hf_hub_download,
        )
    except ImportError:
        raise ValueError(
            f'{name} is on the Hugging Face hub: install it by `pip install -e ".[hub]"`, or '
            "fetch the file yourself and write its path"
        ) from None
    # It tells of every attempt; what came of them is said below.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    is_closed = False

    def find(wanted: str) -> Path:
        return Path(
            hf_hub_download(repository, wanted, revision=revision, local_files_only=is_closed)
        )

    for wanted in [file] if file else FILES:
        try:
            path = find(wanted)
            for part in list_shards(path):
                find(str(Path(wanted).with_name(part.name)))
            return path
        except errors.LocalEntryNotFoundError:
            # The hub could not be asked; other files may be in the cache.
            is_closed = True
        except errors.EntryNotFoundError:
            continue
        except errors.RepositoryNotFoundError:
            raise ValueError(
                f"{name}: the hub shows no repository {repository}; is it spelt right, or private?"
            ) from None
        except errors.RevisionNotFoundError:
            raise ValueError(f"{name}: {repository} has no revision {revision!r}") from None
        except ValueError:
            raise
        except Exception as error:  # The network fails in many types.
            told = (str(error).strip() or repr(error)).splitlines()[0]
            raise ValueError(f"{name} cannot be fetched: {told}") from None
    wanted = file or " or ".join(FILES)
    if is_closed:
        cache = constants.HF_HUB_CACHE
        raise ValueError(
            f"{name}: the hub cannot be reached, and its cache {cache} does not hold {wanted}; "
            "fetch the file elsewhere and write its path"
        )
    raise ValueError(f"{name}: {repository} holds no {wanted}; name its file, as in {FORM}")
