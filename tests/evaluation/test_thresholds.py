import numpy as np
import pytest

from skhimatch.evaluation.thresholds import best_thresholds


def expected_f1(probabilities, threshold):
    """Micro-F1 and macro-F1 that probabilities promise, one label at a time."""
    positives, sizes = [], []
    for column, limit in zip(probabilities.T, threshold, strict=True):
        predicted = column >= limit
        positives.append(column[predicted].sum())
        sizes.append(predicted.sum() + column.sum())
    of_label = [2 * tp / size for tp, size in zip(positives, sizes, strict=True)]
    return 2 * sum(positives) / sum(sizes), np.mean(of_label)


VALUES = {"micro": lambda micro, macro: micro, "macro": lambda micro, macro: macro}
VALUES["micro_macro"] = lambda micro, macro: micro + macro


@pytest.fixture
def probabilities():
    draws = np.random.default_rng(0)
    return draws.beta(0.3, np.array([0.5, 2, 10, 40]), size=(400, 4))


@pytest.mark.parametrize("optimize", VALUES)
def test_no_other_threshold_of_a_label_promises_more(probabilities, optimize):
    found = best_thresholds(probabilities, optimize)
    best = VALUES[optimize](*expected_f1(probabilities, found))
    for label in range(4):
        for limit in np.quantile(probabilities[:, label], np.linspace(0, 1, 60)):
            other = found.copy()
            other[label] = limit
            assert VALUES[optimize](*expected_f1(probabilities, other)) <= best + 1e-4


def test_half_of_the_f1_that_is_reached(probabilities):
    micro = best_thresholds(probabilities, "micro")
    np.testing.assert_allclose(micro, expected_f1(probabilities, micro)[0] / 2, atol=2e-3)
    macro = best_thresholds(probabilities, "macro")
    for label in range(4):
        alone = probabilities[:, [label]]
        assert macro[label] == pytest.approx(expected_f1(alone, macro[[label]])[0] / 2, abs=2e-3)


def test_rare_labels_get_lower_thresholds(probabilities):
    both = best_thresholds(probabilities, "micro_macro")
    assert (np.diff(both) < 0).all()
    assert both[-1] > best_thresholds(probabilities, "macro")[-1]


def test_a_label_that_is_never_probable_is_not_predicted():
    never = np.column_stack([np.linspace(0, 1, 50), np.full(50, 1e-6)])
    assert best_thresholds(never, "macro")[1] > 1e-6
