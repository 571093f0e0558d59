"""A domain that is not of a run's task, read beside the run's source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common.data import reader
from common.data.arrangement import arrange, list_names
from common.data.domain import Domain
from common.data.fold import hold_out, role_of_folds
from common.data.pool import list_sources
from common.data.role import pool_all, pool_sources, read_domain
from common.data.task_check import check_shapes
from common.data.vocabulary import encode_task
from common.task_kind import OF_CLASSES

Config = Mapping[str, Any]


def load_beside_source(config: Config, name: str) -> dict[str, Domain]:
    """Loads the source of a run, and any domain as the run would read it as its target.

    Args:
        config: The resolved config of the run.
        name: The domain.

    Returns:
        `source`, and `target` with all examples, with the splits that it is published with and no
        others. The number of an example of another class than the source's is negative.

    Raises:
        ValueError: Files that are missing or broken, or examples of another shape than the
            source's.
    """
    data = {**config["data"], "disjoint_halves": False}
    if name != config["target"]:
        data["target_splits"] = dict.fromkeys(data["target_splits"], "")
    own = {**config, "target": name, "data": data}
    sources = list_sources(config["source"])
    reader.check_unread(own, {"source": sources, "target": [name]})
    read_sources = [read_domain(own, "source", source) for source in sources]
    examples = read_domain(own, "target", name)
    has_splits = examples.splits is not None
    if config["task"]["kind"] in OF_CLASSES:
        source = pool_sources(config, sources, read_sources)
        examples = arrange(examples, data["rename_classes"], source.examples.classes)
    else:
        source = pool_all(config, sources, read_sources)
        if examples.classes not in ((), source.examples.classes):
            raise ValueError(
                f"{name!r} has the labels {list_names(examples.classes)}, and the source "
                f"{list_names(source.examples.classes)}; they must be the same in the same order"
            )
    check_shapes(own, source.examples, examples)
    if role_of_folds(config) == "source":
        # What is fitted to the source's training examples was so without those held out.
        source = source._replace(splits=hold_out(config, source.splits, "source", source.examples))
    splits = examples.splits if has_splits and examples.splits else {}
    task = {"source": source, "target": Domain(name, examples, splits)}
    return encode_task(task, data) if reader.is_text(name) else task
