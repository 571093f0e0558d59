"""What do the regularisers of fine-tuning, and adapters, keep of the source, and what does it cost?

Each at its paper's strength, three labelled target examples of each class, six seeds; run as in
`configs/studies/label_budget.py`.

    python launch.py sweep --config=configs/ablations/regularizers.py
"""

from configs import catalogue
from configs.studies import label_budget

LABELS = 3
ROWS = ("fine_tune", "lora", *catalogue.REGULARIZERS)


def get_config(argument: str = "method=fine_tune"):
    """Returns one run; `argument` is `method=<row>`."""
    config = label_budget.get_config(argument)
    config.experiment = "regularizers"
    config.data.target_labels_per_class = LABELS
    return config


def sweep(add):
    """Adds every row with every seed."""
    for method in ROWS:
        for seed in label_budget.SEEDS:
            add(f"method={method}", {"seed": seed})
