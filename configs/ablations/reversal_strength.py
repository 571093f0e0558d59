"""How strong should the reversed gradient be, and how fast the discriminator?

The seeds are none of `configs/digits.py`, so that what is chosen here is reported on others. The
rule that reads no target label takes the setting with the highest mean information maximization at
the last step; the report prints it beside the accuracy.

    python launch.py sweep --config=configs/ablations/reversal_strength.py
"""

from configs import digits

STRENGTHS = (0.1, 0.3, 1.0, 3.0)
RATE_FACTORS = (1.0, 3.0, 10.0)
SEEDS = tuple(range(8))


def get_config(argument: str = ""):
    """Returns one run of the embedded benchmark."""
    config = digits.get_config(argument)
    config.experiment = "reversal_strength"
    return config


def sweep(add):
    """Adds every strength at the default rate, and every rate at the default strength."""
    defaults = get_config("method=dann")
    strength = defaults.alignment.domain_adversarial.strength
    factor = defaults.optimizer.groups.discriminator.learning_rate_factor
    pairs = [(own, factor) for own in STRENGTHS]
    pairs += [(strength, own) for own in RATE_FACTORS if own != factor]
    for seed in SEEDS:
        add("method=source_only", {"seed": seed})
    for own_strength, own_factor in pairs:
        for seed in SEEDS:
            add(
                "method=dann",
                {
                    "seed": seed,
                    "alignment.domain_adversarial.strength": own_strength,
                    "optimizer.groups.discriminator.learning_rate_factor": own_factor,
                },
            )
