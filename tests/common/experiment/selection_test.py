import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.evaluation.scores.fact import FACTS
from common.evaluation.scores.score import SCORES
from common.experiment import selection, selection_rule
from common.experiment.selection_rule import CONSENSUS, RULES, UNGUARDED

NUM_SOURCE_VAL = 100


def turned(name, value):
    """Gives a score the sign by which more is better."""
    return value if value is None or FACTS[name].higher_is_better else -value


def make_records(source, oracle=None, loss=None, score=None, flags=None):
    """Every score says the same."""
    oracle, loss, score = oracle or source, loss or [0.1] * len(source), score or source
    return [
        {
            "step": 200 * (index + 1),
            "train/loss": loss[index],
            "source_val/accuracy": source[index],
            **{f"score/{name}": turned(name, score[index]) for name in FACTS},
            "flags": flags[index] if flags else [],
            "oracle/target_val_accuracy": oracle[index],
            "oracle/target_test_accuracy": oracle[index],
        }
        for index in range(len(source))
    ]


def choose(records):
    return selection.choose(records, num_source_val=NUM_SOURCE_VAL)


def test_exact_ties_go_to_the_latest_step():
    # Source accuracy is perfect from the second evaluation on: the first one is not adapted yet.
    records = make_records([0.9, 1.0, 1.0, 1.0], [0.5, 0.6, 0.8, 0.7])
    chosen = choose(records)
    assert (chosen["last"], chosen["source_val"], chosen["oracle"]) == (3, 3, 2)


def test_ties_are_within_one_standard_error():
    # At .9 and 100 examples one standard error is .03.
    assert choose(make_records([0.5, 0.9, 0.88, 0.86]))["source_val"] == 2
    assert choose(make_records([0.5, 0.9, 0.88, 0.871]))["source_val"] == 3


def test_larger_validation_split_narrows_the_ties():
    records = selection.visible(make_records([0.9, 0.88]))
    assert selection_rule.source_val(records, num_source_val=100) == 1
    assert selection_rule.source_val(records, num_source_val=10_000) == 0


def test_oracle_breaks_exact_ties_alone_by_the_latest():
    assert choose(make_records([1.0] * 4, [0.5, 0.8, 0.8, 0.799]))["oracle"] == 2


@pytest.mark.parametrize("bad", [None, float("nan"), float("inf")])
def test_no_rule_chooses_a_record_whose_loss_is_not_finite(bad):
    records = make_records([0.9, 1.0, 1.0], [0.5, 0.7, 0.9], [0.2, 0.1, bad])
    assert set(choose(records).values()) == {1}
    assert set(choose(records[2:]).values()) == {None}


def test_an_evaluation_before_training_may_be_chosen():
    (record,) = make_records([0.1])
    del record["train/loss"]
    assert set(choose([record]).values()) == {0}


def test_accuracy_that_is_not_a_number_is_passed_over():
    chosen = choose(make_records([0.9, None, 0.5], [0.9, 0.5, None], score=[0.9, None, 0.5]))
    assert chosen.pop("last") == 2
    assert set(chosen.values()) == {0}


def test_no_record_gives_no_choice():
    assert choose([]) == dict.fromkeys((*RULES, *selection.ORACLES))


def test_score_is_taken_at_its_highest_and_latest():
    records = make_records([1.0] * 4, score=[1.2, 2.1, 2.1, 2.0])
    assert choose(records)["information_maximization"] == 2


def test_run_without_a_score_is_not_chosen_by_it():
    (record,) = make_records([0.9])
    del record["score/information_maximization"]
    assert choose([record])["information_maximization"] is None


ACCURACY = st.floats(0, 1) | st.none()


@given(st.lists(st.tuples(ACCURACY, ACCURACY, ACCURACY), min_size=1, max_size=6))
def test_no_oracle_value_changes_a_rules_choice(values):
    source, oracle, other = map(list, zip(*values, strict=True))
    before, after = (choose(make_records(source, own, score=source)) for own in (oracle, other))
    for rule in RULES:
        assert before[rule] == after[rule]


def test_rule_that_reads_an_oracle_value_fails(monkeypatch):
    def leak(records, *, num_source_val, primary):
        return max(range(len(records)), key=lambda i: records[i]["oracle/target_test_accuracy"])

    monkeypatch.setitem(RULES, "leak", leak)
    with pytest.raises(KeyError, match="oracle/target_test_accuracy"):
        choose(make_records([0.9, 1.0]))


def test_visible_leaves_the_records_as_they_are():
    records = make_records([0.9])
    (stripped,) = selection.visible(records)
    assert stripped.keys() == {name for name in records[0] if not name.startswith("oracle/")}
    assert "oracle/target_val_accuracy" in records[0]


def test_the_facts_that_rules_read_are_those_of_the_scores():
    assert list(FACTS) == list(SCORES)
    assert set(RULES) >= {"last", "source_val", "consensus", selection.DEFAULT_RULE}
    assert set(RULES) >= {*FACTS, *(f"{name}{UNGUARDED}" for name in FACTS)}


def test_a_guarded_rule_passes_over_what_is_flagged():
    score = [0.1, 0.9, 0.5, 0.2]
    chosen = choose(make_records([1.0] * 4, score=score, flags=[[], ["outrun"], [], []]))
    for name in FACTS:
        assert (chosen[name], chosen[f"{name}{UNGUARDED}"]) == (2, 1)
    assert (chosen["consensus"], chosen["last"], chosen["source_val"]) == (2, 3, 3)
    chosen = choose(make_records([1.0] * 4, score=score, flags=[["loss"]] * 4))
    assert {chosen[name] for name in (*FACTS, "consensus")} == {None}


def test_a_perfect_score_chooses_what_the_oracle_does():
    oracle = [0.3, 0.8, 0.6, 0.8, 0.7]
    chosen = choose(make_records([1.0] * 5, oracle, score=oracle))
    assert {chosen[rule] for rule in RULES if rule not in ("last", "source_val")} == {3}
    assert (chosen["oracle"], chosen["oracle_test"]) == (3, 3)


def test_the_two_oracles_read_different_labels():
    records = make_records([0.5, 0.9])
    records[0]["oracle/target_test_accuracy"] = 1.0
    chosen = choose(records)
    assert (chosen["oracle"], chosen["oracle_test"]) == (1, 0)


def ranks_by_counting(values):
    """Ranks by the definition: one more than are worse, and half of the other equal ones."""
    worse = (values[None, :] < values[:, None]).sum(1)
    equal = (values[None, :] == values[:, None]).sum(1)
    return 1 + worse + (equal - 1) / 2


@given(st.integers(0, 2**32 - 1), st.integers(1, 8))
def test_consensus_is_the_best_mean_rank(seed, count):
    values = np.random.default_rng(seed).integers(0, 4, (len(CONSENSUS), count))
    records = make_records([1.0] * count)
    for name, own in zip(CONSENSUS, values, strict=True):
        for record, value in zip(records, own, strict=True):
            record[f"score/{name}"] = turned(name, float(value))
    mean = np.mean([ranks_by_counting(own) for own in values], axis=0)
    (best,) = [np.flatnonzero(np.isclose(mean, mean.max()))]
    assert RULES["consensus"](selection.visible(records), num_source_val=10) == best[-1]


def test_consensus_compares_only_what_has_all_its_scores():
    records = make_records([1.0, 1.0], score=[0.1, 0.9])
    del records[1][f"score/{CONSENSUS[-1]}"]
    assert choose(records)["consensus"] == 0
    for record in records:
        record.pop(f"score/{CONSENSUS[0]}")
    assert choose(records)["consensus"] is None


SCORE = st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.booleans())


@given(st.lists(SCORE, min_size=1, max_size=6))
def test_the_weights_of_a_choice_are_there_when_the_run_ends(values):
    """What is kept as the run goes is what is chosen of all its evaluations."""
    score, is_flagged = map(list, zip(*values, strict=True))
    flags = [["loss"] if own else [] for own in is_flagged]
    records = make_records(score, score=score, flags=flags)
    for rule in ("source_val", "entropy", f"entropy{UNGUARDED}"):
        assert rule in selection_rule.KEPT_AS_IT_GOES
        kept = None
        for count in range(1, len(records) + 1):
            if RULES[rule](records[:count], num_source_val=100) == count - 1:
                kept = count - 1
        assert kept == RULES[rule](records, num_source_val=100)
