import numpy as np
import pytest
import scipy.sparse as sp
from scipy.special import expit
from sklearn.metrics import log_loss

from skhimatch.scores import stacking as calibration
from skhimatch.scores.stacking import Calibration


@pytest.fixture
def told():
    """Two scores, and targets drawn with the probability that they stand for."""
    draws = np.random.default_rng(0)
    scores = [draws.normal(size=(4000, 5)).astype(np.float32) for _ in range(2)]
    logits = 3 * scores[0] + 0.5 * scores[1] - 1
    return scores, sp.csr_array((draws.uniform(size=logits.shape) < expit(logits)).astype(np.float32))


def test_the_weights_behind_the_targets_are_found(told):
    scores, targets = told
    learned = Calibration.learn(scores, targets)
    assert learned.weights == pytest.approx((3, 0.5), abs=0.15)
    assert learned.intercept == pytest.approx(-1, abs=0.1)


def test_no_other_weights_do_better(told):
    scores, targets = told
    learned = Calibration.learn(scores, targets)
    wanted = targets.toarray().ravel()
    best = log_loss(wanted, expit(learned(scores)).ravel())
    for step in np.eye(3) * 0.05:
        for sign in (1, -1):
            *weights, intercept = np.array([*learned.weights, learned.intercept]) + sign * step
            other = Calibration(tuple(weights), intercept)
            assert log_loss(wanted, expit(other(scores)).ravel()) > best


def test_one_score(told):
    [score, _], targets = told
    learned = Calibration.learn([score], targets)
    assert len(learned.weights) == 1
    np.testing.assert_allclose(
        learned([score]), learned.weights[0] * score + learned.intercept, rtol=1e-5, atol=1e-5
    )


def test_as_many_scores_as_weights(told):
    with pytest.raises(ValueError, match="zip"):
        Calibration((1.0,), 0.0)(told[0])


def test_few_texts_are_enough(told, monkeypatch):
    scores, targets = told
    few = Calibration.learn([score[:200] for score in scores], targets[:200])
    monkeypatch.setattr(calibration, "MOST_PAIRS", 1000)
    assert Calibration.learn(scores, targets) == few


@pytest.mark.parametrize("everything", [0, 1])
def test_nothing_to_tell_apart(everything):
    targets = sp.csr_array(np.full((3, 2), everything))
    assert Calibration.learn([np.ones((3, 2))], targets) is None


def test_a_score_that_misleads_has_no_say(told):
    scores, targets = told
    learned = Calibration.learn([scores[0], -scores[1]], targets)
    alone = Calibration.learn([scores[0]], targets)
    assert learned.weights == pytest.approx((alone.weights[0], 0), rel=1e-3)
    assert Calibration.learn([-scores[0]], targets) is None
