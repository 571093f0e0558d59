"""Rendered digits to handwriting: the embedded benchmark, and what `python launch.py` runs.

Source: digits drawn with the fonts that Matplotlib carries. Target: the handwritten digits that
scikit-learn carries. Nothing is downloaded. Every row has the same network, augmentation,
optimizer, weight averaging and number of steps; they differ in their loss alone.

Renderer, network, optimizer and length were set by hand while the benchmark was planned, looking at
target accuracy on seeds 0 to 7. The strength of the reversed gradient and the discriminator's rate
were then chosen without target labels, by `configs/ablations/reversal_strength.py`, on the same
seeds, which are none of those below. A seed changes the initial weights, the batches and the split
of the 1,797 handwritten pictures.

    python launch.py train --config=configs/digits.py:method=dann --config.seed=100
"""

from configs import base

ROWS = ("source_only", "dann", "train_on_target")
SEEDS = tuple(range(100, 112))


def get_config(argument: str = ""):
    """Returns one run; `argument` is `method=<row>`."""
    arguments = base.parse(argument, method="dann")
    config = base.get_config()
    config.experiment = "digits"
    config.seed = SEEDS[0]
    config.num_steps = 2000

    config.model.name = "cnn"
    config.model.normalization = "group"
    config.model.options = {"channels": 24, "hidden": (128, 64)}

    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 1e-3
    config.optimizer.schedule = "inverse_power"
    config.optimizer.ema_decay = 0.998

    config.data.batch_size = 64
    config.data.augment = {"shift": {"pixels": 1, "probability": 0.5}}

    base.set_method(config, arguments["method"])
    if "domain_adversarial" in config.alignment:
        # The discriminator has to keep up with the reversed gradient.
        config.alignment.domain_adversarial.strength = 1.0
        config.alignment.domain_adversarial.hidden = (256, 256)
        config.optimizer.groups.discriminator = {
            "pattern": r"domain_discriminator/.*",
            "learning_rate_factor": 3.0,
        }
    return config


def sweep(add):
    """Adds every row with every seed."""
    for method in ROWS:
        for seed in SEEDS:
            add(f"method={method}", {"seed": seed})
