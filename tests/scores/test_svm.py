"""A linear support vector machine for each label."""

import numpy as np
import scipy.sparse as sp

from skhimatch.scores.svm import train_svms


def test_the_features_are_left_as_they_are():
    # The columns of a row are not sorted.
    data = np.array([3, 1, 2, 1], dtype=np.float32)
    features = sp.csr_array((data, np.array([2, 0, 1, 0]), np.array([0, 2, 3, 4])), shape=(3, 3))
    before = features.toarray()
    targets = sp.csr_array(np.array([[1, 0], [0, 1], [0, 1]], dtype=bool))
    first = list(train_svms(features, targets))
    np.testing.assert_array_equal(features.toarray(), before)
    for (label, weights, intercept), again in zip(first, train_svms(features, targets), strict=True):
        np.testing.assert_array_equal(weights, again[1])
        assert (label, intercept) == (again[0], again[2])
