"""How much of a network from the source should be frozen, with so many labels of the target?

Few labels cannot train many parameters, and many labels should be allowed to. The network of
`configs/digits.py` has three stages below its head, a convolution and two dense layers; what is
trained runs from the head alone to everything. Labels, batches and the network that is started
from are those of `configs/studies/label_budget.py`, the rate is the same everywhere, and no label
but those counted is used for anything. `train_on_target` learns from the same labels alone: what
falls below it is negative transfer.

    python launch.py sweep --config=configs/ablations/frozen_stages.py
"""

from configs import base
from configs.studies import label_budget

FREEZE = ("all_but_head", "last_1_stages", "last_2_stages", "none")
BUDGETS = (1, 3, 10, 0)
SEEDS = tuple(range(100, 105))


def get_config(argument: str = ""):
    """Returns one run; `argument` is `method=<row>`."""
    method = base.parse(argument, method="fine_tune")["method"]
    config = label_budget.get_config(f"method={method}")
    config.experiment = "frozen_stages"
    config.num_steps = 1000
    if config.init_from.method:
        config.init_from.overrides.num_steps = 2000
    return config


def sweep(add):
    """Adds every share of the network with every number of labels and every seed."""
    for budget in BUDGETS:
        for seed in SEEDS:
            changes = {"seed": seed, "data.target_labels_per_class": budget}
            add("method=train_on_target", changes)
            for freeze in FREEZE:
                add("method=fine_tune", {**changes, "transfer.freeze": freeze})
