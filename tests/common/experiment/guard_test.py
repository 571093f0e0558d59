"""Tests of the collapse guard on made-up records."""

import math
from typing import Any

import pytest

from common.experiment import guard
from configs import base

GUARD = base.get_config().evaluation.guard.to_dict()
TERM = "train/domain_adversarial/"


def make_records(count=10, per_evaluation=1, **columns):
    """Records of a healthy run, but for what is given: a value for all steps, or one a record."""
    healthy = {
        "train/loss": 1.0,
        f"{TERM}domain_accuracy": 0.6,
        f"{TERM}reversal_strength": 0.3,
        "source_val/loss": 0.1,
        "source_val/accuracy": 0.95,
        "guard/class_entropy": 2.2,
        "guard/source_class_entropy": math.log(10),
        "guard/averaging_gap": 0.02,
    }
    names = {name.rpartition("/")[2]: name for name in healthy} | {"loss": "train/loss"}
    values = healthy | {names[name]: own for name, own in columns.items()}
    records = []
    for index in range(count):
        record = {"step": index + 1, "progress": (index + 1) / count}
        for name, own in values.items():
            is_train = name.startswith("train/")
            if is_train or (index + 1) % per_evaluation == 0:
                record[name] = own[index] if isinstance(own, list) else own
        records.append(record)
    return records


def flags(records, changes=None, **options):
    return guard.flags_of(records, {**GUARD, **(changes or {})}, **options)


def test_a_healthy_run_has_no_flag():
    assert flags(make_records()) == []


@pytest.mark.parametrize(
    ("columns", "flag", "switch"),
    [
        # Half of ten classes, evenly.
        ({"class_entropy": math.log(5)}, "few_classes", "diversity"),
        ({"class_entropy": 0.0}, "few_classes", "diversity"),
        ({"accuracy": [0.9] * 9 + [0.7]}, "source_lost", "source_floor"),
        ({"domain_accuracy": 1.0}, "domains_apart", "domain_accuracy"),
        ({"domain_accuracy": 0.36}, "outrun", "outrun_accuracy"),
        ({"loss": [1.0] * 9 + [30.0]}, "loss", "loss_factor"),
        ({"averaging_gap": 0.6}, "averaging", "averaging_gap"),
    ],
)
def test_each_sign_is_seen_alone_and_can_be_switched_off(columns, flag, switch):
    records = make_records(**columns)
    assert flags(records) == [flag]
    assert flags(records, {switch: 0.0}) == []


def test_what_is_not_there_is_no_sign():
    bare = [{"step": 1, "progress": 1.0, "source_val/loss": 0.1}]
    assert flags(bare) == []
    # A number that is not finite is None in a record.
    nothing: dict[str, Any] = {
        name: None for name in ("class_entropy", "accuracy", "domain_accuracy", "loss")
    }
    assert flags(make_records(**nothing)) == []


def test_source_only_always_separates_domains_and_so_does_an_adversary_of_no_strength():
    assert flags(make_records(domain_accuracy=1.0, reversal_strength=0.0)) == []
    records = make_records()
    for record in records:
        del record[f"{TERM}domain_accuracy"]
    assert flags(records) == []


def test_a_run_that_takes_no_source_label_may_forget_the_source():
    records = make_records(accuracy=[0.9] * 9 + [0.1])
    assert flags(records) == ["source_lost"]
    assert flags(records, trains_on_source=False) == []


def test_the_source_floor_is_relative_to_what_was_seen_before():
    rising = make_records(accuracy=[0.2 + 0.05 * index for index in range(10)])
    assert all(flags(rising[:count]) == [] for count in range(1, 11))


def test_outrun_needs_its_share_of_the_run_and_is_not_forgotten():
    low = make_records(count=40, domain_accuracy=[0.6] * 20 + [0.4] + [0.6] * 19)
    assert flags(low) == []
    low = make_records(count=40, domain_accuracy=[0.6] * 20 + [0.4] * 2 + [0.6] * 18)
    assert flags(low[:21]) == []
    assert flags(low[:22]) == flags(low) == ["outrun"]


def test_the_length_of_a_chunk_changes_no_flag():
    # The mean over an evaluation's interval counts, not that of its last chunk.
    accuracy = [0.6, 0.2, 0.6, 0.6] * 3
    fine = make_records(12, per_evaluation=4, domain_accuracy=accuracy, loss=[1, 1, 1, 30.0] * 3)
    coarse = make_records(3, domain_accuracy=0.5, loss=8.25)
    assert flags(fine) == flags(coarse) == []
    fine = make_records(12, per_evaluation=4, domain_accuracy=[0.6, 0.2, 0.4, 0.4] * 3)
    assert flags(fine) == flags(make_records(3, domain_accuracy=0.4)) == ["outrun"]


def test_no_flag_reads_a_target_label():
    records = make_records()
    expected = flags(records)
    for record in records:
        record |= {"oracle/target_val_accuracy": 0.0, "oracle/target_test_loss": math.inf}
        record["train/oracle/domain_accuracy"] = None
    assert flags(records) == expected


def test_warnings_name_what_lasts_or_is_there_at_the_end():
    evaluations = [
        {"step": 10 * (index + 1), "flags": own}
        for index, own in enumerate([["domains_apart", "loss"], ["loss"], [], ["few_classes"]])
    ]
    loss, few = guard.warnings_of(evaluations)
    assert loss == f"{guard.REASONS['loss']}, from step 10 on in 2 of 4 evaluations"
    assert few == f"{guard.REASONS['few_classes']}, from step 40 on in 1 of 4 evaluations"
    # Of an older version, or of a newer one.
    assert guard.warnings_of([{"step": 1}]) == []
    assert guard.warnings_of([{"step": 1, "flags": ["new"]}])[0].startswith("new, from step 1")
