"""How much of the target's test split is trained on."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from common.data.domain import Domain
from common.data.fingerprint import digest_examples


def count_shared(task: Mapping[str, Domain]) -> dict[str, int]:
    """Counts the target's test examples that equal an example of a training split.

    Labels play no part. Rows that a transductive run declares to train on (`target_test_seen`) are
    no finding; copies of them in other rows are.

    Args:
        task: `source` and `target`, as `load_task` returns them.

    Returns:
        How many of the test examples `source_train` and `target_train` hold.
    """
    source, target = task["source"], task["target"]
    test = target.splits["test"]
    digests = digest_examples(target.examples.images)
    trained = {
        "source_train": digest_examples(source.examples.images)[source.splits["train"]],
        "target_train": digests[np.setdiff1d(target.splits["train"], test)],
    }
    return {split: int(np.isin(digests[test], own).sum()) for split, own in trained.items()}
