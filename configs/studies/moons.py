"""Every method on two moons, the target turned by 35 degrees: a task on which DANN must work.

The points and their splits are those of `configs/moons.py`. What differs is what methods need that
compare batches: 50 points of each domain in a batch, two layers of 32 units here and in every
discriminator, Adam, 3,000 steps, and the strength of the reversed gradient that `configs/digits.py`
has, which rises to 1. Left out are the rows that learn from two views of a picture, since
augmentations are of pictures, and AdaBN, since there is no batch normalisation. The radius of
`virtual_adversarial` is that of its paper, 3.5 for 32 x 32 x 3 values, by the same length a value;
`shot` takes new pseudo-labels once in an epoch, as its paper does.

    python launch.py sweep --config=configs/studies/moons.py
"""

from configs import catalogue, method_row, moons
from configs.studies import digits

LEFT_OUT = (*catalogue.STRONG_VIEWS, "adapt_batch_norm", "tent")
ROWS = (
    "source_only",
    *(row for row in (*digits.TERMS, *catalogue.METHODS) if row not in LEFT_OUT),
    "train_on_target",
)
SEEDS = tuple(range(100, 112))
RADIUS = 3.5 * (2 / 3072) ** 0.5


def get_config(argument: str = ""):
    """Returns one run; `argument` is `method=<row>`."""
    config = moons.get_config(argument)
    config.experiment = "study_moons"
    config.num_steps = 3000
    config.model.options = {"hidden": (32, 32)}
    config.model.task_head = {}
    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 1e-3
    config.data.batch_size = 50
    config.evaluation.every = 500
    config.runtime.log_every = 500
    config.runtime.checkpoint_every = 3000
    for name in method_row.list_discriminators(config):
        config.alignment[name].update({"strength": 1.0, "schedule": "ramp", "hidden": (32, 32)})
    if "margin_disparity" in config.alignment:
        config.alignment.margin_disparity.hidden = (32,)
    if "domain_adversarial" in config.alignment:
        own = {"domain_reduction": "mean", "kernel_init": "lecun_normal"}
        config.alignment.domain_adversarial.update(own)
    if "virtual_adversarial" in config.alignment:
        config.alignment.virtual_adversarial.radius = RADIUS
    if config.method == "shot":
        # An epoch of the 300 points, as in the paper.
        config.adaptation.refresh_every = 300 // config.data.batch_size
    return config


def sweep(add):
    """Adds every row with every seed."""
    for method in ROWS:
        for seed in SEEDS:
            add(f"method={method}", {"seed": seed})
