import numpy as np
import pytest
import scipy.sparse as sp
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from skhimatch.scores import stacking
from skhimatch.scores.stacking import StackingWeights


@pytest.fixture
def told():
    """Two scores, and targets drawn with the probability that they stand for."""
    draws = np.random.default_rng(0)
    scores = {name: draws.normal(size=(4000, 5)).astype(np.float32) for name in ("ngrams", "words")}
    logits = 3 * scores["ngrams"] + 0.5 * scores["words"] - 1
    return scores, sp.csr_array((draws.uniform(size=logits.shape) < expit(logits)).astype(np.float32))


def test_the_weights_behind_the_targets_are_found(told):
    scores, targets = told
    learned = StackingWeights.learn(scores, targets)
    assert learned.weights == pytest.approx({"ngrams": 3, "words": 0.5}, abs=0.15)
    assert learned.intercept == pytest.approx(-1, abs=0.1)


def test_no_other_weights_do_better(told):
    scores, targets = told
    learned = StackingWeights.learn(scores, targets)
    wanted = targets.toarray().ravel()
    best = log_loss(wanted, expit(learned(scores)).ravel())
    for step in np.eye(3) * 0.05:
        for sign in (1, -1):
            *weights, intercept = np.array([*learned.weights.values(), learned.intercept]) + sign * step
            other = StackingWeights(dict(zip(scores, weights, strict=True)), intercept)
            assert log_loss(wanted, expit(other(scores)).ravel()) > best


def test_one_score(told):
    scores, targets = told
    one = {"ngrams": scores["ngrams"]}
    learned = StackingWeights.learn(one, targets)
    [weight] = learned.weights.values()
    np.testing.assert_allclose(learned(one), weight * one["ngrams"] + learned.intercept, rtol=1e-5, atol=1e-5)


def test_as_many_scores_as_weights(told):
    with pytest.raises(ValueError, match=r"scores of 'ngrams', 'words', and weights for 'ngrams'"):
        StackingWeights({"ngrams": 1.0}, 0.0)(told[0])


def test_few_texts_are_enough(told, monkeypatch):
    scores, targets = told
    few = StackingWeights.learn({name: score[:200] for name, score in scores.items()}, targets[:200])
    monkeypatch.setattr(stacking, "MAX_PAIRS", 1000)
    assert StackingWeights.learn(scores, targets) == few


@pytest.mark.parametrize("everything", [0, 1])
def test_nothing_to_tell_apart(everything):
    targets = sp.csr_array(np.full((3, 2), everything))
    assert StackingWeights.learn({"ngrams": np.ones((3, 2))}, targets) is None


def test_a_score_that_misleads_has_no_say(told):
    scores, targets = told
    learned = StackingWeights.learn({"ngrams": scores["ngrams"], "words": -scores["words"]}, targets)
    alone = StackingWeights.learn({"ngrams": scores["ngrams"]}, targets)
    assert learned.weights == pytest.approx({"ngrams": alone.weights["ngrams"], "words": 0}, rel=1e-3)
    assert StackingWeights.learn({"ngrams": -scores["ngrams"]}, targets) is None


@pytest.mark.parametrize("with_frequency", [False, True])
def test_terms_sum_to_the_log_odds(told, with_frequency):
    scores, _ = told
    more = {}
    if with_frequency:
        frequency = np.array([0.5, -1.0, 0.0, 2.0, -8.0], dtype=np.float32)
        more = {"slopes": {"ngrams": 0.5, "words": -0.2}, "slope": 0.3, "frequency": frequency}
    stacking = StackingWeights({"ngrams": 2.0, "words": 1.0}, -0.5, **more)
    for row in range(5):
        of_text = {name: part[[row]] for name, part in scores.items()}
        for label, expected in enumerate(stacking(of_text)[0]):
            terms = stacking.terms(of_text, label)
            total = terms.constant + sum(terms.weights[name] @ of_text[name][0] for name in of_text)
            assert total == pytest.approx(expected, abs=1e-5)
            assert np.flatnonzero(terms.weights["words"]).tolist() == [label]
            scaled = terms.scaled(2.0, -1.0)
            total = scaled.constant + sum(scaled.weights[name] @ of_text[name][0] for name in of_text)
            assert total == pytest.approx(2 * expected - 1, abs=1e-5)


def test_products_that_are_called_invalid_are_no_warning(told, monkeypatch):
    """OpenBLAS sets the flag of the processor now and then, although all numbers are finite."""

    def flagged(self, *arguments, fit=LogisticRegression.fit):
        np.subtract(np.float32([np.inf]), np.float32([np.inf]))
        return fit(self, *arguments)

    expected = StackingWeights.learn(*told)
    monkeypatch.setattr(LogisticRegression, "fit", flagged)
    assert StackingWeights.learn(*told) == expected
