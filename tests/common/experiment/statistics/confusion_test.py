import numpy as np

from common.experiment import statistics


def test_class_shares_leave_out_classes_without_examples():
    shares = statistics.class_shares(np.asarray([[[3, 1], [0, 0]], [[1, 1], [0, 4]]]))
    np.testing.assert_array_equal(
        shares, [[[0.75, 0.25], [np.nan, np.nan]], [[0.5, 0.5], [0.0, 1.0]]]
    )
    np.testing.assert_array_equal(statistics.finite_mean(shares)[1], [0.0, 1.0])
    assert np.isnan(statistics.finite_mean(shares[:1])[1]).all()
