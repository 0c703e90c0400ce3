"""What an earlier version saved in a format that can be read predicts the same; others are refused."""

import numpy as np
import pytest
from saved_formats import KINDS, PREDICTIONS, older_formats, saved_formats

from skhimatch import HiMatchClassifier, ModelFormatError
from skhimatch.storage.folder import FORMAT


@pytest.mark.parametrize("path", saved_formats(), ids=lambda path: path.name)
def test_committed_folders_predict_what_they_predicted(path):
    classifier = HiMatchClassifier.load(path / "model")
    with np.load(path / PREDICTIONS) as stored:
        texts = stored["texts"].tolist()
        np.testing.assert_allclose(
            classifier.predict_proba(texts), stored["probabilities"], atol=1e-6, rtol=0
        )
        np.testing.assert_array_equal(classifier.predict(texts), stored["predicted"])


def test_the_present_format_has_its_folders():
    """When the number of the format rises, ``python tests/saved_formats.py`` adds them."""
    assert [path.name.rpartition("-")[2] for path in saved_formats(FORMAT)] == sorted(KINDS)


def test_older_formats_are_refused():
    for path in older_formats():
        with pytest.raises(
            ModelFormatError, match="load it with that version, or train the classifier again"
        ):
            HiMatchClassifier.load(path / "model")
