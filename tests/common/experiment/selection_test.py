import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.experiment import selection

NUM_SOURCE_VAL = 100


def make_records(source, oracle=None, loss=None, score=None):
    oracle, loss, score = oracle or source, loss or [0.1] * len(source), score or source
    return [
        {
            "step": 200 * (index + 1),
            "train/loss": loss[index],
            "source_val/accuracy": source[index],
            "score/information_maximization": score[index],
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
    assert selection.source_val(records, num_source_val=100) == 1
    assert selection.source_val(records, num_source_val=10_000) == 0


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
    assert chosen == {"last": 2, "source_val": 0, "information_maximization": 0, "oracle": 0}


def test_no_record_gives_no_choice():
    assert choose([]) == dict.fromkeys((*selection.RULES, "oracle"))


def test_score_is_taken_at_its_highest_and_latest():
    records = make_records([1.0] * 4, score=[1.2, 2.1, 2.1, 2.0])
    assert choose(records)["information_maximization"] == 2


def test_run_without_a_score_is_not_chosen_by_it():
    (record,) = make_records([0.9])
    del record["score/information_maximization"]
    assert choose([record])["information_maximization"] is None


ACCURACY = st.floats(0, 1) | st.none()


@given(st.lists(st.tuples(ACCURACY, ACCURACY, ACCURACY), min_size=1, max_size=12))
def test_no_oracle_value_changes_a_rules_choice(values):
    source, oracle, other = map(list, zip(*values, strict=True))
    before, after = (choose(make_records(source, own, score=source)) for own in (oracle, other))
    for rule in selection.RULES:
        assert before[rule] == after[rule]


def test_rule_that_reads_an_oracle_value_fails(monkeypatch):
    def leak(records, *, num_source_val, primary):
        return max(range(len(records)), key=lambda i: records[i]["oracle/target_test_accuracy"])

    monkeypatch.setitem(selection.RULES, "leak", leak)
    with pytest.raises(KeyError, match="oracle/target_test_accuracy"):
        choose(make_records([0.9, 1.0]))


def test_visible_leaves_the_records_as_they_are():
    records = make_records([0.9])
    (stripped,) = selection.visible(records)
    assert stripped.keys() == {name for name in records[0] if not name.startswith("oracle/")}
    assert "oracle/target_val_accuracy" in records[0]
