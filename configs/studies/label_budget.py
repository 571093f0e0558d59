"""With n labelled target examples of each class: adapt, fine-tune, or both?

Rows are given 0, 1, 3, 10 or 30 labelled examples of each class of the target, or all of its
training split, and nothing else: no row chooses a step, a rate or anything by further labels. What
separates the rows:

- `train_on_target`: the labels alone. What falls below it is negative transfer.
- `linear_probe`, `fine_tune`, `lp_ft`, `l2_sp`: a network trained on the source, carried on.
- `train_on_both`: source and labelled target examples in one batch.
- `mcc+target_labelled`: the unlabelled target too, without an adversary.
- `dann+target_labelled`: the unlabelled target with one.
- `dann_then_fine_tune`: DANN without labels, carried on as `fine_tune` is.
- `source_only`, `dann`, `mcc`: no label of the target.

Every run takes as many updates as `configs/digits.py`; rows that start from another run have the
sum of both, which the report prints. A step sees 16 labelled target examples.

    python launch.py sweep --config=configs/studies/label_budget.py
    python launch.py sweep --config=configs/studies/label_budget.py:source=mnist,target=mnist_m
"""

from configs import base, digits

WITHOUT = ("source_only", "dann", "mcc")
FINE_TUNED = ("linear_probe", "fine_tune", "lp_ft", "l2_sp", "dann_then_fine_tune")
JOINT = ("train_on_both", "mcc+target_labelled", "dann+target_labelled")
ROWS = ("train_on_target", *FINE_TUNED, *JOINT)
BUDGETS = (1, 3, 10, 30, 0)
BATCH = 16
SEEDS = tuple(range(100, 106))


def get_config(argument: str = ""):
    """Returns one run; `argument` names `method` and, of a prepared pair, `source` and `target`."""
    arguments = base.parse(argument, method="fine_tune", source="", target="")
    method = arguments["method"]
    pair = "".join(f"{key}={arguments[key]}," for key in ("source", "target") if arguments[key])
    config = digits.get_config(f"{pair}method={method}")
    config.experiment = "study_label_budget" if not pair else f"{config.experiment}_label_budget"
    if "target_labelled" in config.domains:
        config.data.batch_sizes.target_labelled = BATCH
    if method == "dann_then_fine_tune":
        # The adversary of the run before it, which this row no longer has.
        parent = digits.get_config(f"{pair}method=dann")
        term, groups = parent.alignment.domain_adversarial, parent.optimizer.groups.to_dict()
        config.init_from.overrides.update(
            {
                "alignment.domain_adversarial": {"strength": term.strength, "hidden": term.hidden},
                "optimizer.groups": groups,
            }
        )
    return config


def sweep(add, argument=""):
    """Adds every row with every number of labels and every seed."""
    chosen = f"{argument}," if argument else ""
    for seed in SEEDS:
        for method in WITHOUT:
            add(f"{chosen}method={method}", {"seed": seed})
        for method in ROWS:
            for budget in BUDGETS:
                changes = {"seed": seed, "data.target_labels_per_class": budget}
                add(f"{chosen}method={method}", changes)
