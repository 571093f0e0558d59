"""Every method on MNIST to MNIST-M, and on MNIST, USPS and SVHN where they are prepared.

The network, batches and length are those of `configs/digits.py` under `protocol=modern`; rows have
the defaults of their own term or method (docs/methods.md). The argument names the pair, MNIST to
MNIST-M without one; `seeds=3` takes the first three seeds alone, `rows=source_only/dann` these two
rows.

    python launch.py prepare --dataset=mnist,mnist_m --manual_dir=FOLDER
    python launch.py sweep --config=configs/studies/mnist_family.py
    python launch.py sweep --config=configs/studies/mnist_family.py:source=usps,target=mnist
"""

from configs import base, catalogue, digits
from configs.studies import digits as studies

ROWS = (
    *("source_only", "statistics_only", *studies.TERMS, "dann+mcc"),
    *(*catalogue.METHODS, "train_on_target"),
)
PAIR = {"source": "mnist", "target": "mnist_m"}
SEEDS = tuple(range(100, 105))


def get_config(argument: str = ""):
    """Returns one run; `argument` names `method`, and of another pair `source` and `target`.

    `seeds` and `rows` are for `sweep` alone.
    """
    own = base.parse(argument, method="dann", seeds="", rows="", **PAIR)
    pair = f"source={own['source']},target={own['target']}"
    config = digits.get_config(f"{pair},protocol=modern,method={own['method']}")
    config.experiment = f"study_{config.experiment.removesuffix('_modern')}"
    return config


def sweep(add, argument=""):
    """Adds every row, or those of the argument, with every seed of one pair."""
    own = base.parse(argument, seeds=str(len(SEEDS)), rows="/".join(ROWS), **PAIR)
    if own["seeds"] not in map(str, range(1, len(SEEDS) + 1)):
        raise ValueError(f"seeds is {own['seeds']!r}; legal are 1 to {len(SEEDS)}")
    rows = own["rows"].split("/")
    for row in rows:
        if row not in ROWS or rows.count(row) > 1:
            raise ValueError(f"rows names {row!r}; legal are {', '.join(ROWS)}, each once")
    for method in rows:
        for seed in SEEDS[: int(own["seeds"])]:
            add(f"source={own['source']},target={own['target']},method={method}", {"seed": seed})
