import numpy as np

from common.experiment.reporting import minimum_seeds


def make_row(name, values):
    own = {"values": values, "n": len(values)} if values else None
    return {"name": name, "difference_from_source_only": own}


def test_seeds_come_from_the_spread_of_the_differences():
    # A spread of four points and an effect of two: 34 pairs, by the tables.
    values = np.asarray([-1.0, 0.0, 1.0]) * 0.04 + 0.1
    rows = [make_row("dann", values.tolist()), make_row("mcc", [0.1] * 4)]
    rows += [make_row("few", [0.1, 0.3]), make_row("source_only", None)]
    assert minimum_seeds.minimum_seeds(rows) == {"dann": 34, "mcc": 3}
    assert minimum_seeds.minimum_seeds(rows[:1], 1e-5) == {"dann": None}
    (text, _) = minimum_seeds.write_minimum_seeds(rows)
    assert text.endswith("the spread seen here: dann 34, mcc 3.")
    assert minimum_seeds.write_minimum_seeds(rows[2:]) == []
