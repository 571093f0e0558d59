"""How strong should the reversed gradient be for each pair of Amazon products?

Every candidate is trained on one seed, none of those of `configs/amazon_reviews.py`, and scored by
reverse validation, as in the DANN paper: the target as labelled by the run trains a network back,
and its accuracy on the source is the score. The report names the best candidate of each pair, and
the best mean over the pairs.

    python launch.py sweep --config=configs/ablations/amazon_strength.py
"""

from configs import amazon_reviews

STRENGTHS = (0.03, 0.1, 0.3, 1.0)
SEED = 0


def get_config(argument: str = ""):
    """Returns one run of a pair, scored by reverse validation."""
    config = amazon_reviews.get_config(argument)
    config.experiment = "amazon_strength"
    config.evaluation.reverse_validation = True
    config.evaluation.retrained_head = False
    return config


def sweep(add):
    """Adds every strength for every pair, of both rows that have an adversary."""
    for source, target in amazon_reviews.PAIRS:
        pair = f"source={source},target={target}"
        for method in ("dann", "dann+mcc"):
            for strength in STRENGTHS:
                changes = {"seed": SEED, "alignment.domain_adversarial.strength": strength}
                add(f"{pair},method={method}", changes)
