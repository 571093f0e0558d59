"""Which rule that reads no target label chooses well: the step, the settings, the method?

Nine rows; of each row with a ruling number (`configs/studies/digits_grid.py`: the strength of the
reversed gradient, else the weight) three values, a tenth, once and ten times its default, so that
the grid holds settings that do next to nothing and settings that break; five seeds, on which
nothing was chosen before. `entropy` is there as the row that is known to lose. Every run is scored
at every evaluation; the report says of each rule what its choices cost against those of the
target's validation labels, and how many of them had collapsed.

The embedded pair: 125 runs of 2,000 steps in nine programs. A pair of prepared data sets, named in
the argument, trains longer by `protocol=modern` of `configs/digits.py`, and is work for an
accelerator; `seeds=2` there takes the first two seeds alone.

    python launch.py sweep --config=configs/studies/selection.py
    python launch.py sweep --config=configs/studies/selection.py:source=mnist,target=mnist_m
"""

from configs import base, digits
from configs.studies.digits_grid import ruling_number, value_at

ROWS = (
    *("source_only", "dann", "cdan", "mcc", "entropy", "information_maximization"),
    *("nuclear_norm", "coral", "mmd"),
)
FACTORS = (0.1, 1.0, 10.0)
SEEDS = tuple(range(200, 205))


def get_config(argument: str = ""):
    """Returns one run; `argument` names `method` and, of a prepared pair, `source` and `target`."""
    own = base.parse(argument, method="dann", source="", target="", seeds="")
    pair = ""
    if own["source"] or own["target"]:
        pair = f"source={own['source']},target={own['target']},protocol=modern,"
    config = digits.get_config(f"{pair}method={own['method']}")
    config.experiment = "study_selection" if not pair else f"{config.experiment}_selection"
    return config


def sweep(add, argument=""):
    """Adds every value of every row with every seed."""
    own = base.parse(argument, source="", target="", seeds=str(len(SEEDS)))
    if own["seeds"] not in map(str, range(1, len(SEEDS) + 1)):
        raise ValueError(f"seeds is {own['seeds']!r}; legal are 1 to {len(SEEDS)}")
    pair = "".join(f"{key}={own[key]}," for key in ("source", "target") if own[key])
    # Batch statistics of the target alone may help.
    plain = ("source_only", "statistics_only") if pair else ("source_only",)
    for method in dict.fromkeys((*plain, *ROWS)):
        config = get_config(f"{pair}method={method}")
        key = ruling_number(config)
        for factor in FACTORS if key else (1.0,):
            changes = {key: round(factor * value_at(config, key), 9)} if key else {}
            for seed in SEEDS[: int(own["seeds"])]:
                add(f"{pair}method={method}", {"seed": seed, **changes})
