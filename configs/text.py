"""Two CSV files of your own texts: labels in one, a model for the other.

    python launch.py sweep --config=configs/text.py:source=books.csv,target=kitchen.csv
    python launch.py train --config=configs/text.py:source=A.csv,target=B.csv,method=dann

Each file begins with the line `text,label`, or `text,label,split`; labels of the target may be
empty, and then nothing is scored on it. A folder with `train.csv`, `val.csv` and `test.csv` will do
too. docs/data.md says more. The network is small and begins from nothing, and so do its words: it
is a first look, not a recommendation.
"""

from configs import base, method_row

ROWS = ("source_only", "dann")
SEEDS = tuple(range(3))
MODELS = {
    "text_transformer": {"blocks": 2, "width": 64, "heads": 4, "hidden": 128, "dropout": 0.1},
    "lstm": {"width": 64, "units": (64,), "hidden": (64,), "dropout": 0.1},
}


def get_config(argument: str = ""):
    """Returns one run; `argument` names `source`, `target`, `method` and `model`."""
    arguments = base.parse(argument, source="", target="", method="dann", model="text_transformer")
    config = base.get_config()
    config.experiment = "text"
    for role in ("source", "target"):
        if not arguments[role]:
            raise ValueError(
                f"{role} is missing: write --config=configs/text.py:source=FILE.csv,target=FILE.csv"
            )
        config[role] = f"csv:{arguments[role]}"
    model = arguments["model"]
    if model not in MODELS:
        raise ValueError(f"model is {model!r}; of texts there are {', '.join(MODELS)}")
    config.num_steps = 1000
    config.evaluation.every = 100

    config.data.batch_size = 32
    config.data.vocabulary_size = 5000
    config.data.max_tokens = 64

    config.model.name = model
    config.model.normalization = "group"
    config.model.options = {"vocabulary_size": config.data.vocabulary_size, **MODELS[model]}
    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 1e-3
    config.optimizer.schedule = "inverse_power"
    config.optimizer.clip_norm = 1.0

    method_row.set_method(config, arguments["method"])
    method_row.set_discriminator_rate(config, 3.0)
    return config


def sweep(add, argument=""):
    """Adds every row with every seed, for the files in the argument."""
    given = base.parse(argument, source="", target="", model="text_transformer")
    for method in ROWS:
        words = ",".join(f"{name}={value}" for name, value in {**given, "method": method}.items())
        for seed in SEEDS:
            add(words, {"seed": seed})
