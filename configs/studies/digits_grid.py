"""Which weight of each method, chosen without target labels on the embedded pair?

Three values of the number that rules a row, its default, a third and three times as much: the
strength of the reversed gradient for rows with an adversary, the weight for all others. Two seeds,
none of those of `configs/studies/digits.py`, each scored by reverse validation: the report names
the best value of each row by it, and beside it what target labels would choose. Rows without a
source in their batch, which reverse validation cannot train back, and rows without such a number
are left out.

    python launch.py sweep --config=configs/studies/digits_grid.py
"""

from configs import catalogue
from configs.studies import digits

FACTORS = (1 / 3, 1.0, 3.0)
SEEDS = (0, 1)


def ruling_number(config) -> str:
    """Names the key that the grid changes; "" for a row without one or without a source."""
    if "source" not in config.domains:
        return ""
    places = [(f"alignment.{name}", own) for name, own in config.alignment.items()]
    for place, own in (*places, ("adaptation", config.adaptation)):
        for name in ("strength", "weight"):
            if name in own:
                return f"{place}.{name}"
    return ""


def value_at(config, key):
    """Returns the value that stands in a config under a dotted name."""
    for name in key.split("."):
        config = config[name]
    return config


def get_config(argument: str = ""):
    """Returns one run of `configs/studies/digits.py`, scored by reverse validation."""
    config = digits.get_config(argument)
    config.experiment = "study_digits_grid"
    config.evaluation.reverse_validation = True
    return config


def sweep(add):
    """Adds every value of every row with every seed, and source_only to compare with."""
    for seed in SEEDS:
        add("method=source_only", {"seed": seed})
    for method in (*digits.TERMS, *catalogue.METHODS):
        config = get_config(f"method={method}") if method not in digits.OF_STATISTICS else None
        key = ruling_number(config) if config is not None else ""
        # A whole weight stands for a share: no more than all of it can be taken.
        if not key or method == "importance_weighting":
            continue
        default = value_at(config, key)
        for factor in FACTORS:
            for seed in SEEDS:
                add(f"method={method}", {"seed": seed, key: factor * default})
