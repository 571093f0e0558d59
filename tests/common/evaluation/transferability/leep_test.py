"""LEEP by hand."""

import numpy as np
import pytest

from common.evaluation.transferability.leep import leep


def test_a_small_table_by_hand():
    theta = np.asarray([[0.8, 0.2], [0.6, 0.4], [0.1, 0.9], [0.5, 0.5]])
    labels = np.asarray([0, 0, 1, 1])
    # The sums by (new class, old class) are 1.4, .6 and .6, 1.4; those by old class 2 and 2.
    given = {(0, 0): 0.7, (0, 1): 0.3, (1, 0): 0.3, (1, 1): 0.7}
    predicted = [
        theta[i, 0] * given[y, 0] + theta[i, 1] * given[y, 1] for i, y in enumerate(labels)
    ]
    assert predicted == pytest.approx([0.62, 0.54, 0.66, 0.5])
    assert leep(theta, labels) == pytest.approx(np.log(predicted).mean(), abs=1e-12)


def test_old_classes_may_be_more_than_new_ones_and_stand_for_them_in_any_order():
    labels = np.asarray([5, 5, 7, 7, 7, 7])
    certain = np.eye(4)[[2, 0, 1, 1, 3, 3]]
    assert leep(certain, labels) == pytest.approx(0, abs=1e-12)
    # Uniform predictions tell the shares of the classes and no more: the negative entropy.
    entropy = -(np.log(1 / 3) / 3 + np.log(2 / 3) * 2 / 3)
    assert leep(np.full((6, 4), 0.25), labels) == pytest.approx(-entropy, abs=1e-12)


def test_an_old_class_without_any_share_changes_nothing():
    theta = np.asarray([[0.8, 0.2], [0.3, 0.7], [0.4, 0.6]])
    wider = np.concatenate([theta, np.zeros((3, 1))], axis=1)
    labels = np.asarray([0, 1, 1])
    assert leep(wider, labels) == leep(theta, labels)


def test_an_example_without_any_share_costs_much_and_not_everything():
    theta = np.asarray([[0.8, 0.2], [0.3, 0.7], [0.0, 0.0]])
    found = leep(theta, np.asarray([0, 1, 1]))
    assert np.isfinite(found) and found < -200
