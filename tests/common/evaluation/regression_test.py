"""Tests of the metrics of numbers against scikit-learn."""

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from common.evaluation.regression import regression_metrics

VALUES = hnp.arrays(np.float32, (7, 2), elements=st.integers(-40, 40).map(lambda n: n / 8))


@settings(max_examples=40, deadline=None)
@given(predictions=VALUES, labels=VALUES)
def test_every_metric_equals_that_of_scikit_learn(predictions, labels):
    derived = regression_metrics(predictions, labels)
    truth, found = labels.astype(np.float64), predictions.astype(np.float64)
    assert derived["mse"] == pytest.approx(metrics.mean_squared_error(truth, found))
    assert derived["rmse"] == pytest.approx(np.sqrt(metrics.mean_squared_error(truth, found)))
    assert derived["mae"] == pytest.approx(metrics.mean_absolute_error(truth, found))
    if (truth != truth[:1]).any(axis=0).all():
        assert derived["r2"] == pytest.approx(metrics.r2_score(truth, found), abs=1e-9)
    else:
        assert np.isnan(derived["r2"])
