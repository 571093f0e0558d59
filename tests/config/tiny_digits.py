"""The embedded benchmark in miniature: three seeds of DANN, and a row whose last seed diverges."""

from configs import base, digits


def get_config(argument=""):
    arguments = base.parse(argument, method="dann")
    config = digits.get_config(f"method={arguments['method']}")
    config.experiment = "tiny"
    config.num_steps = 60
    config.seed = 0
    config.model.options = {"channels": 4, "hidden": (16, 8)}
    config.data.batch_size = 16
    config.data.synthetic_digits.update({"per_class": 20, "train": 120, "val": 40})
    config.data.digits = {"train": 120, "val": 1400}
    config.evaluation.every = 20
    config.evaluation.scores = ("information_maximization",)  # the others take long to compile
    config.runtime.log_every = 10
    config.runtime.checkpoint_every = 20
    if "domain_adversarial" in config.alignment:
        config.alignment.domain_adversarial.hidden = (8, 8)
    return config


def sweep(add):
    for seed in range(3):
        add("method=dann", {"seed": seed})
