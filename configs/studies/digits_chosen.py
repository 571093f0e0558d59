"""Every method on the embedded pair with what was chosen for it without target labels.

The second column beside `configs/studies/digits.py`: the rows for which reverse validation chose
another value than their default in `configs/studies/digits_grid.py`, on the seeds of the study,
which took no part in the choice. The rows that are left out have their defaults in both columns.

    python launch.py sweep --config=configs/studies/digits_chosen.py
    python launch.py report --compare runs/study_digits runs/study_digits_chosen
"""

from configs.studies import digits, digits_grid

# What the chosen value is times the default.
CHOSEN = {
    **dict.fromkeys(("dann", "cdane", "pada", "coral", "joint_mmd"), 1 / 3),
    **dict.fromkeys(("fixmatch", "mcd", "virtual_adversarial"), 1 / 3),
    **dict.fromkeys(("nuclear_norm", "mean_teacher", "optimal_transport"), 3.0),
}


def get_config(argument: str = "method=dann"):
    """Returns one run; `argument` is `method=<row>`."""
    config = digits.get_config(argument)
    config.experiment = "study_digits_chosen"
    if config.method in CHOSEN:
        key = digits_grid.ruling_number(config)
        chosen = CHOSEN[config.method] * digits_grid.value_at(config, key)
        config.update_from_flattened_dict({key: chosen})
    return config


def sweep(add):
    """Adds every row with every seed, and source_only to compare with."""
    for method in ("source_only", *CHOSEN):
        for seed in digits.SEEDS:
            add(f"method={method}", {"seed": seed})
