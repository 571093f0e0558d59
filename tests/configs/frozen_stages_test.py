"""Tests of the ablation of frozen stages: what is trained grows, and all else is the same."""

import re

from common.experiment import family, folder
from common.training.hparam import flatten
from configs import base, method_row
from configs.ablations import frozen_stages
from tests.tiny_run import make_method


def runs_of_first_seed():
    found = []

    def add(argument, changes):
        if changes["seed"] != frozen_stages.SEEDS[0]:
            return
        config = frozen_stages.get_config(argument)
        config.update_from_flattened_dict(changes)
        found.append(family.resolve_family(config, {}, base.get_config(), method_row))

    frozen_stages.sweep(add)
    return found


def test_rows_differ_in_what_is_trained_alone_and_start_from_one_run():
    runs = runs_of_first_seed()
    fine_tuned = [own for own in runs if own[-1]["method"] == "fine_tune"]
    assert len(runs) - len(fine_tuned) == len(frozen_stages.BUDGETS)
    assert len(fine_tuned) == len(frozen_stages.BUDGETS) * len(frozen_stages.FREEZE)
    assert len({folder.run_id(own[-1]) for own in fine_tuned}) == len(fine_tuned)
    (parent,) = {folder.run_id(parent) for *above, _ in fine_tuned for parent in above}
    assert parent.startswith("source_only") and fine_tuned[0][0]["num_steps"] == 2000
    settings = [dict(flatten(own[-1])) for own in fine_tuned]
    differing = {key for own in settings for key in own if own[key] != settings[0].get(key)}
    assert differing == {"transfer.freeze", "data.target_labels_per_class"}
    layers = ["convolution", "dense/dense_0", "dense/dense_1"]
    for share, count in zip(frozen_stages.FREEZE, range(4), strict=True):
        own = next(own[-1] for own in fine_tuned if own[-1]["transfer"]["freeze"] == share)
        trains = make_method(own, 10).trains
        trained = [
            name for name in layers if re.fullmatch(trains, f"feature_extractor/{name}/kernel")
        ]
        assert trained == layers[3 - count :]
