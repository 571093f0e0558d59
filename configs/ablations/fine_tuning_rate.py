"""How fast should a network from the source be fine-tuned on ten labelled examples of each class?

Chosen by cross-validation on those examples alone: five folds, each seed for itself, the chosen
rate trained anew on all of them.

    python launch.py sweep --config=configs/ablations/fine_tuning_rate.py --cross_validation=5
"""

from configs.studies import label_budget

RATES = (3e-5, 1e-4, 3e-4, 1e-3, 3e-3)
LABELS = 10
SEEDS = tuple(range(6))


def get_config(argument: str = "method=fine_tune"):
    """Returns one run of `configs/studies/label_budget.py`."""
    config = label_budget.get_config(argument)
    config.experiment = "fine_tuning_rate"
    config.data.target_labels_per_class = LABELS
    config.num_steps = 1000
    # The network from the source is the same whatever the rate.
    config.init_from.overrides.update({"optimizer.learning_rate": 1e-3, "num_steps": 2000})
    return config


def sweep(add):
    """Adds every rate with every seed."""
    for seed in SEEDS:
        for rate in RATES:
            add("method=fine_tune", {"seed": seed, "optimizer.learning_rate": rate})
