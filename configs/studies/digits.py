"""Every method on the embedded pair: rendered digits to handwritten ones.

Each row has the network, data, batches, optimizer, averaging and length of `configs/digits.py`, and
the defaults of its own term or method, which are its paper's where a paper has some
(docs/methods.md). Rows with a domain discriminator, `dann`, `pada` and `cdan`, have the strength,
size and rate of `configs/digits.py` for it, which were chosen with DANN on this pair, without
target labels, on other seeds; `virtual_adversarial` has a radius for 8 x 8 values and `shot` its
paper's weight for digits. Nothing else was chosen; the study says what a method does as it
comes, not what can be made of it. `configs/studies/digits_grid.py` chooses each row's main number
without target labels.

Three experiments: `study_digits`; `study_digits_separate` under batch normalisation, with the row
that replaces its statistics; and `study_digits_strong`, where rows without a strong view of their
own train on the strong views too: what is left of the rows that learn from two views.

    python launch.py sweep --config=configs/studies/digits.py
"""

from configs import catalogue, digits

# AdaBN replaces batch statistics, of which the embedded pair's policy has none.
OF_STATISTICS = ("adapt_batch_norm",)
METHODS = tuple(row for row in catalogue.METHODS if row not in OF_STATISTICS)
# Rows for several sources have no meaning where there is one.
TERMS = tuple(row for row in catalogue.TERMS if catalogue.PAPERS[row][1] != "several sources")
ROWS = ("source_only", *TERMS, "dann+mcc", *METHODS, "train_on_target")
SEPARATE = ("source_only", "statistics_only", "dann", *OF_STATISTICS, "tent", "shot")
STRONG = ("source_only", "dann", "train_on_target")
SEEDS = tuple(range(100, 106))


def get_config(argument: str = ""):
    """Returns one run of `configs/digits.py`; `argument` is `method=<row>`."""
    config = digits.get_config(argument)
    config.experiment = "study_digits"
    return config


def sweep(add):
    """Adds every row of the three experiments with every seed."""
    strong = digits.EMBEDDED_STRONG_AUGMENT
    experiments = (
        (ROWS, {}),
        (SEPARATE, {"experiment": "study_digits_separate", "model.normalization": "separate"}),
        (STRONG, {"experiment": "study_digits_strong", "data.augment": strong}),
    )
    for rows, changes in experiments:
        for method in rows:
            for seed in SEEDS:
                add(f"method={method}", {"seed": seed, **changes})
