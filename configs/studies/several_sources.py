"""Three sources at once: reviews of three kinds of products, and the opinion on a fourth.

Each of the four products of `configs/amazon_reviews.py` is the target once, and the other three are
the source: 6,000 labelled reviews. Does it pay to tell the sources apart? The rows `dann` hold the
pool of the sources against the target; the rows `multi_source_dann` tell all four products apart.
Network, length and adversary are those of the pairs, and so are the strengths, which were chosen
for `dann` on pairs: no row's strength was chosen on these tasks.

    python launch.py prepare --dataset=amazon_reviews --manual_dir=FOLDER
    python launch.py sweep --config=configs/studies/several_sources.py
    python launch.py sweep --config=configs/studies/several_sources.py:target=kitchen
"""

from configs import amazon_reviews, base, method_row

ROWS = (
    *("source_only", "dann", "multi_source_dann"),
    *("dann+mcc", "multi_source_dann+mcc", "train_on_target"),
)
# A row that tells the sources apart has the strength of the row of a pool that it stands beside.
STRENGTHS = {
    **amazon_reviews.STRENGTHS,
    **{f"multi_source_{row}": strength for row, strength in amazon_reviews.STRENGTHS.items()},
}


def get_config(argument: str = ""):
    """Returns one run; `argument` names `target` and `method`."""
    own = base.parse(argument, target="kitchen", method="multi_source_dann")
    others = [name for name in amazon_reviews.PRODUCTS if name != own["target"]]
    named = f"source={others[0]},target={own['target']},method={own['method']}"
    config = amazon_reviews.get_config(named)
    config.experiment = "study_several_sources"
    # The sources share a batch evenly; it is 100 for pairs.
    config.data.batch_size = 99
    config.source = "+".join(f"tfds:amazon_reviews/{name}" for name in others)
    for name in method_row.list_discriminators(config):
        config.alignment[name].strength = STRENGTHS[own["method"]]
    if "multi_source_adversarial" in config.alignment:
        config.alignment.multi_source_adversarial.num_sources = len(others)
    return config


def sweep(add, argument=""):
    """Adds every row with every seed for all four targets, or for the one in the argument."""
    chosen = base.parse(argument, target="")["target"]
    for target in [chosen] if chosen else amazon_reviews.PRODUCTS:
        for method in ROWS:
            for seed in amazon_reviews.SEEDS:
                add(f"target={target},method={method}", {"seed": seed})
