"""A target that has five of the ten classes: what does aligning whole domains cost?

Partial domain adaptation on the embedded pair: the source has all ten digits, the target 0 to 4
alone, picked by label in all its splits. Rows as in `configs/studies/digits.py`. DANN aligns all of
the source with a target that lacks half of it; PADA weighs classes that the target seems to lack
down; MCC compares no domains. Rows without class weights are let through by
`config.runtime.allow_unweighted`.

    python launch.py sweep --config=configs/studies/partial_digits.py
"""

from configs.studies import digits

ROWS = ("source_only", "dann", "pada", "mcc", "information_maximization", "train_on_target")
CLASSES = tuple("01234")
SEEDS = tuple(range(100, 106))


def get_config(argument: str = ""):
    """Returns one run; `argument` is `method=<row>`."""
    config = digits.get_config(argument)
    config.experiment = "study_partial_digits"
    config.data.target_classes = CLASSES
    # Right predictions name five of the source's ten classes, which would be taken for a collapse.
    config.evaluation.guard.diversity = 0.0
    # Half of the classes leave half of the pictures.
    config.data.digits = {"train": 450, "val": 125}
    config.runtime.allow_unweighted = True
    return config


def sweep(add):
    """Adds every row with every seed."""
    for method in ROWS:
        for seed in SEEDS:
            add(f"method={method}", {"seed": seed})
