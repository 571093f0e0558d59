"""Two folders of your own pictures: labels in one, a model for the other.

    python launch.py sweep --config=configs/image_folder.py:source=photos/clean,target=photos/webcam
    python launch.py train --config=configs/image_folder.py:source=A,target=B,method=dann

A folder holds a folder of pictures for each class, or `train`, `val` and `test` with such folders
in them; the target may hold pictures without labels, and then nothing is scored on it. docs/data.md
says more. Pictures are brought to 48x48 pixels by their shorter side and a centre crop. The network
is small and begins from nothing: it is a first look, not a recommendation.
"""

from configs import base, method_row

ROWS = ("source_only", "dann")
SEEDS = tuple(range(3))


def get_config(argument: str = ""):
    """Returns one run; `argument` names `source`, `target` and `method`."""
    arguments = base.parse(argument, source="", target="", method="dann")
    config = base.get_config()
    config.experiment = "image_folder"
    for role in ("source", "target"):
        if not arguments[role]:
            raise ValueError(
                f"{role} is missing: write --config=configs/image_folder.py:source=FOLDER,"
                "target=FOLDER"
            )
        config[role] = f"folder:{arguments[role]}"
    config.num_steps = 1000
    config.evaluation.every = 100

    config.data.size = 48
    config.data.fit = "cover"
    config.data.channels = 3
    config.data.batch_size = 32
    config.data.center = "source"
    config.data.augment = {"crop": {"pixels": 4}, "flip": {"probability": 0.5}}

    config.model.name = "lenet"
    config.model.normalization = "group"
    config.model.task_head = {"hidden": (100,)}
    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 1e-3
    config.optimizer.schedule = "inverse_power"
    config.optimizer.ema_decay = 0.99

    method_row.set_method(config, arguments["method"])
    method_row.set_discriminator_rate(config, 3.0)
    return config


def sweep(add, argument=""):
    """Adds every row with every seed, for the folders in the argument."""
    folders = base.parse(argument, source="", target="")
    for method in ROWS:
        for seed in SEEDS:
            named = f"source={folders['source']},target={folders['target']},method={method}"
            add(named, {"seed": seed})
