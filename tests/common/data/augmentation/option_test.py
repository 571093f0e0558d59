"""Tests of the checks of options."""

import math
from functools import partial

import pytest

from common.data.augmentation.option import check_choices, check_flag, check_pair

pair = partial(check_pair, "config.a", least=0.0, most=1.0)
choices = partial(check_choices, "config.a", legal=("turn", "slant"))


@pytest.mark.parametrize("value", [(0, 1), [0.5, 0.5], (0.0, 1.0)])
def test_a_range_is_two_numbers_in_order(value):
    pair(value)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        (0.5, r"config.a is 0.5; it must be two numbers"),
        ("01", r"config.a is '01'; it must be two numbers"),
        ({0: 1, 1: 2}, r"config.a is \{.*; it must be two numbers"),
        (None, r"config.a is None; it must be two numbers"),
        ((), r"config.a is \(\); it must be two numbers"),
        ((0.1, 0.2, 0.3), r"it must be two numbers"),
        ((0.6, 0.5), r"config.a is \(0.6, 0.5\); the smaller number must stand first"),
        ((0.5, 1.5), r"config.a\[1\] is 1.5; it must lie in \[0, 1\]"),
        ((-1, 0.5), r"config.a\[0\] is -1; it must lie in \[0, 1\]"),
        ((0.5, math.nan), r"config.a\[1\] is nan; it must lie in \[0, 1\]"),
        ((False, True), r"config.a\[0\] is False; it must lie in \[0, 1\]"),
        (("0", 1), r"config.a\[0\] is '0'; it must lie in \[0, 1\]"),
    ],
)
def test_what_is_no_range_is_refused(value, sentence):
    with pytest.raises(ValueError, match=sentence):
        pair(value)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("turn", "config.a is 'turn'; it must be a list of turn, slant"),
        ((), r"config.a is \(\); it must be a list of"),
        (3, "config.a is 3; it must be a list of"),
        (["trun"], "config.a names 'trun'; did you mean 'turn'"),
        (["turn", "turn"], "config.a names 'turn' twice"),
        ([["turn"]], r"config.a names \['turn'\]; "),
    ],
)
def test_what_is_no_list_of_legal_names_is_refused(value, sentence):
    choices(["slant", "turn"])
    with pytest.raises(ValueError, match=sentence):
        choices(value)


@pytest.mark.parametrize("value", [0, 1, "True", None])
def test_what_is_neither_true_nor_false_is_refused(value):
    check_flag("config.a", True)
    with pytest.raises(ValueError, match="config.a is .*; it must be True or False"):
        check_flag("config.a", value)
