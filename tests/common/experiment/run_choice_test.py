"""Tests of choosing between runs by the rules that choose a step within one."""

import pytest

from common.experiment.run_choice import optimised_scores, rank_runs
from common.experiment.selection import RULES
from common.experiment.selection_rule import CONSENSUS, UNGUARDED
from tests.common.experiment.selection_test import make_records, turned

IM = "information_maximization"


def config_of(strength=0.3, method="mdd", smoothing=0.0):
    return {
        "method": method,
        "domains": ["source", "target"],
        "alignment": {"margin_disparity": {"strength": strength}},
        "adaptation": {},
        "objective": {"label_smoothing": smoothing},
    }


def names_of(ranked):
    return [run.name for run in ranked]


def rank(records, rule=IM, configs=None, **options):
    configs = configs or {name: config_of() for name in records}
    return rank_runs(records, rule, configs=configs, num_source_val=100, **options)


RECORDS = {
    "a": make_records([1.0, 0.9], [0.5, 0.5], score=[1.0, 2.0]),
    "b": make_records([1.0, 1.0], [0.9, 0.9], score=[3.0, 0.0]),
    "c": make_records([1.0, 1.0], [0.1, 0.1], score=[4.0, 4.0], flags=[["loss"], ["loss"]]),
}


def test_runs_are_ordered_by_the_evaluation_that_the_rule_chooses_in_each():
    ranked = rank(RECORDS)
    assert [(run.name, run.index, run.value) for run in ranked] == [("b", 0, 3.0), ("a", 1, 2.0)]
    assert names_of(rank(RECORDS, f"{IM}{UNGUARDED}")) == ["c", "b", "a"]
    assert names_of(rank(RECORDS, step_rule="last")) == ["a", "b"]
    assert rank(RECORDS, step_rule="last")[0].index == 1


@pytest.mark.parametrize("rule", sorted(set(RULES) - {"last", "source_val"}))
def test_every_score_and_consensus_choose_the_run_that_all_of_them_prefer(rule):
    records = {name: RECORDS[name] for name in "ab"}
    best = rank(records, rule)[0]
    assert (best.name, best.index) == ("b", 0)


def test_consensus_ranks_the_runs_anew():
    values = {"a": 1.0, "b": 2.0, "c": 3.0}
    records = {name: make_records([1.0], score=[value]) for name, value in values.items()}
    # One score is far away for one run: a rank does not care by how much.
    records["a"][0][f"score/{CONSENSUS[0]}"] = turned(CONSENSUS[0], 1e9)
    ranked = rank(records, "consensus")
    count = len(CONSENSUS)
    expected = {"a": (3 + (count - 1)) / count, "b": (1 + 2 * (count - 1)) / count}
    expected["c"] = (2 + 3 * (count - 1)) / count
    assert {run.name: run.value for run in ranked} == pytest.approx(expected)


def test_nothing_chosen_is_no_run():
    assert rank({"c": RECORDS["c"]}) == rank({}) == []


def test_target_labels_order_nothing():
    turned_around = {
        name: [{**own, "oracle/target_val_accuracy": -1.0, "oracle/x": 5.0} for own in records]
        for name, records in RECORDS.items()
    }
    for rule in sorted(set(RULES) - {"last"}):
        assert rank(RECORDS, rule) == rank(turned_around, rule)


def test_the_last_step_compares_nothing():
    with pytest.raises(ValueError, match="rule is 'last'"):
        rank(RECORDS, "last")


@pytest.mark.parametrize(
    ("rule", "other", "sentence"),
    [
        (
            "source_val",
            config_of(1.0),
            "runs that differ in config.alignment",
        ),
        ("source_val", config_of(method="mcc"), "differ in config.method"),
        (IM, config_of(smoothing=0.1), "differ in config.objective"),
        (IM, config_of(method=f"mdd+{IM}"), f"b trains for {IM}"),
        ("consensus", config_of(method=IM), f"b trains for .*{IM}"),
    ],
)
def test_unfair_choices_are_refused(rule, other, sentence):
    records = {name: RECORDS[name] for name in "ab"}
    with pytest.raises(ValueError, match=sentence):
        rank(records, rule, {"a": config_of(), "b": other})


def test_strength_is_a_scores_to_choose_and_the_rate_is_the_sources():
    records = {name: RECORDS[name] for name in "ab"}
    assert names_of(rank(records, IM, {"a": config_of(0.1), "b": config_of(1.0)})) == ["b", "a"]
    rates = {
        name: config_of() | {"optimizer": {"learning_rate": rate}}
        for name, rate in (("a", 0.1), ("b", 0.2))
    }
    assert names_of(rank(records, "source_val", rates)) == ["a", "b"]


def test_a_run_is_known_by_its_terms_and_by_its_row():
    by_term = config_of() | {"alignment": {IM: {"weight": 1.0}}}
    assert optimised_scores(IM, by_term) == [IM]
    assert optimised_scores(f"{IM}{UNGUARDED}", config_of(method=f"mdd+{IM}")) == [IM]
    assert optimised_scores(IM, config_of(method="dann+mean_teacher")) == [IM]
    weighted = config_of() | {"alignment": {"importance_weighting": {"weight": 1.0}}}
    name = "importance_weighted_validation"
    assert optimised_scores(name, weighted) == optimised_scores("consensus", weighted) == [name]
    assert optimised_scores(IM, config_of()) == optimised_scores("last", by_term) == []
