import numpy as np
import pytest
from scipy import sparse
from scipy.special import expit
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import f1_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import LinearSVC
from sklearn.utils._param_validation import InvalidParameterError
from toy_corpus import HIERARCHY, PATHS, binarize, make_corpus

from skhimatch import baseline as module
from skhimatch.baseline import FIXED, TFIDF, LinearBaseline, LinearChoices
from skhimatch.evaluation.decisions import DecisionRule
from skhimatch.evaluation.metrics import micro_macro_f1
from skhimatch.evaluation.optimized import score_of_decision


def test_margins_are_those_of_one_vs_rest():
    texts, label_sets = make_corpus(80)
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2)
    reference = OneVsRestClassifier(LinearSVC(random_state=0))
    reference.fit(vectorizer.fit_transform(texts), binarize(label_sets))
    baseline = LinearBaseline(HIERARCHY).fit(texts, label_sets)
    new = make_corpus(20, seed=1)[0]
    np.testing.assert_allclose(
        baseline.decision_function(new), reference.decision_function(vectorizer.transform(new)), atol=1e-4
    )


def test_it_predicts_whole_paths_if_the_targets_are_paths():
    baseline = LinearBaseline(HIERARCHY).fit(*make_corpus(120))
    texts, label_sets = make_corpus(60, seed=1)
    predicted = baseline.predict(texts)
    assert micro_macro_f1(binarize(label_sets), predicted).micro > 0.9
    assert (baseline.hierarchy_.close(predicted).toarray() == predicted).all()


def test_the_threshold_is_tuned_on_validation_data():
    texts, label_sets = make_corpus(60, paths=2)
    validation = make_corpus(60, seed=1, paths=2)
    plain = LinearBaseline(HIERARCHY).fit(texts, label_sets)
    tuned = LinearBaseline(HIERARCHY).fit(texts, label_sets, X_val=validation[0], y_val=validation[1])
    assert plain.decision_.ends is None
    assert plain.decision_.threshold == 0.5
    true = binarize(validation[1])
    scores = [sum(micro_macro_f1(true, model.predict(validation[0]))) for model in (plain, tuned)]
    assert scores[1] > scores[0]


def test_labels_on_all_texts_or_on_none_are_constant():
    texts = ["a wave", "a field", "a wave"]
    baseline = LinearBaseline({"a": ["b", "c", "d"]}).fit(texts, [{"a", "b"}, {"a", "c"}, {"a", "b", "c"}])
    np.testing.assert_array_equal(baseline.intercept_[[0, 3]], [np.inf, -np.inf])
    np.testing.assert_array_equal(baseline.predict(["a wave"])[:, [0, 3]], [[1, 0]])


def test_margins_do_not_depend_on_how_many_labels_are_computed_at_once(monkeypatch):
    fitted = LinearBaseline(HIERARCHY).fit(*make_corpus(80))
    whole = fitted.decision_function(["a lens", "a leaf"])
    monkeypatch.setattr("skhimatch.baseline.LABEL_CHUNK_SIZE", 3)
    np.testing.assert_allclose(fitted.decision_function(["a lens", "a leaf"]), whole, rtol=1e-6)


def test_predictions_are_sparse_if_the_targets_were():
    texts, label_sets = make_corpus(40)
    indicator = binarize(label_sets)
    assert isinstance(LinearBaseline(HIERARCHY).fit(texts, indicator).predict(texts), np.ndarray)
    fitted = LinearBaseline(HIERARCHY).fit(texts, sparse.csr_array(indicator))
    assert sparse.issparse(fitted.predict(texts))
    assert LinearBaseline().fit(texts, label_sets).hierarchy_.is_flat


def test_the_former_argument_for_validation_data():
    texts, label_sets = make_corpus(60, paths=2)
    X_val, y_val = make_corpus(60, seed=1, paths=2)
    tuned = LinearBaseline(HIERARCHY).fit(texts, label_sets, X_val=X_val, y_val=y_val)
    with pytest.warns(FutureWarning, match="validation_data.*pass X_val=X, y_val=y") as caught:
        former = LinearBaseline(HIERARCHY).fit(texts, label_sets, validation_data=(X_val, y_val))
    assert former.decision_.threshold == tuned.decision_.threshold
    # The warning points at the line that calls fit.
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"X_val": ["a"]}, ValueError, "X_val is given but y_val is not"),
        ({"y_val": [{"sport"}]}, ValueError, "y_val is given but X_val is not"),
        (
            {"X_val": ["a"], "y_val": [{"sport"}], "validation_data": (["a"], [{"sport"}])},
            ValueError,
            "Both validation_data and X_val, y_val are given",
        ),
        ({"X_val": ["a"], "y_val": [{"sprot"}]}, ValueError, r"Label 'sprot' in y\[0\]"),
        ({"X_val": ["a"], "y_val": [{"sport"}] * 2}, ValueError, "1 texts in X and 2 rows in y"),
        ({"X_val": [3], "y_val": [{"sport"}]}, TypeError, "Text 0 is of type int"),
    ],
)
def test_bad_validation_data_leaves_nothing_fitted(arguments, error, match):
    baseline = LinearBaseline(HIERARCHY)
    with pytest.raises(error, match=match):
        baseline.fit(*make_corpus(20), **arguments)
    assert not [name for name in vars(baseline) if name.endswith("_")]


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"C": 0}, "The 'C' parameter"),
        ({"C": "best"}, "The 'C' parameter"),
        ({"min_df": 0}, "The 'min_df' parameter"),
        ({"min_df": 1.5}, "The 'min_df' parameter"),
        ({"stop_words": "german"}, "The 'stop_words' parameter"),
        ({"ngram_range": [1, 2]}, "The 'ngram_range' parameter"),
        ({"parent_weight": -1}, "The 'parent_weight' parameter"),
        ({"optimize": "weighted"}, "The 'optimize' parameter"),
        ({"decoding": "paths"}, "The 'decoding' parameter"),
        ({"consistency": "ancestor"}, "The 'consistency' parameter"),
    ],
)
def test_bad_parameters_are_named(parameters, match):
    with pytest.raises(InvalidParameterError, match=match):
        LinearBaseline(HIERARCHY, **parameters).fit(*make_corpus(20))


def test_targets_in_every_format():
    texts, label_sets = make_corpus(40)
    ends = [next(end for end in PATHS if end in labels) for labels in label_sets]
    indicator = binarize(label_sets)
    expected = LinearBaseline(HIERARCHY).fit(texts, label_sets).decision_function(texts)
    for y in (ends, ["/".join(PATHS[end]) for end in ends], indicator.tolist(), iter(label_sets)):
        np.testing.assert_array_equal(
            LinearBaseline(HIERARCHY).fit(texts, y).decision_function(texts), expected
        )
    assert LinearBaseline().fit(texts, iter(ends)).classes_.tolist() == sorted(PATHS)


def test_score_is_the_share_of_texts_with_exactly_the_right_labels():
    texts, label_sets = make_corpus(60)
    baseline = LinearBaseline(HIERARCHY).fit(texts, label_sets)
    new, expected = make_corpus(40, seed=1)
    right = (baseline.predict(new) == binarize(expected)).all(axis=1)
    assert 0 < right.mean() < 1
    assert baseline.score(new, expected) == baseline.score(new, binarize(expected)) == right.mean()
    weights = np.arange(40)
    assert baseline.score(new, expected, weights) == pytest.approx(np.average(right, weights=weights))


def test_without_any_target_nothing_is_predicted():
    texts = make_corpus(20)[0]
    for decoding in ("auto", "path", "threshold"):
        assert LinearBaseline(HIERARCHY, decoding=decoding).fit(texts, [()] * 20).predict(texts).sum() == 0


def test_texts_without_a_common_word():
    with pytest.raises(ValueError, match="needs a word that 2 of the 3 texts have"):
        LinearBaseline(HIERARCHY).fit(["lens", "oar", "fish"], ["optics", "rowing", "zoology"])
    only = LinearBaseline(HIERARCHY).fit(["the lens"], ["optics"])
    assert only.predict(["oar"]).sum() == 3


def test_texts_are_whole():
    with pytest.raises(TypeError, match="Text 0 is a list of tokens; pass whole texts"):
        LinearBaseline(HIERARCHY).fit([["a", "lens"]] * 2, [{"sport"}] * 2)


def test_it_cannot_predict_before_fit():
    with pytest.raises(NotFittedError):
        LinearBaseline().predict(["a wave"])


@pytest.mark.parametrize("ngram_range", [(2, 1), (0, 1), (1,), (1, 2, 3), (1.0, 2), ("1", "2")])
def test_a_range_of_ngrams_is_two_numbers_in_order(ngram_range):
    baseline = LinearBaseline(HIERARCHY, ngram_range=ngram_range)
    with pytest.raises(ValueError, match="pass the shortest and the longest number of words"):
        baseline.fit(*make_corpus(20))
    assert not [name for name in vars(baseline) if name.endswith("_")]


def test_without_a_validation_set_it_is_what_it_was():
    for paths in (1, 2):
        texts, label_sets = make_corpus(80, paths=paths)
        fitted = LinearBaseline(HIERARCHY).fit(texts, label_sets)
        decoding = "path" if paths == 1 else "threshold"
        assert fitted.choices_ == LinearChoices((1, 2), None, 2, 1.0, decoding, 0.0, None)
        new = make_corpus(40, seed=1, paths=paths)[0]
        rule = DecisionRule.learn(binarize(label_sets), fitted.hierarchy_)
        expected = rule(expit(fitted.decision_function(new)))
        np.testing.assert_array_equal(fitted.predict(new), expected.toarray())


class TestChoices:
    """What is "auto" is chosen on the validation set, one parameter after the other."""

    @pytest.fixture
    def trained(self, monkeypatch):
        """List what is fitted: settings of TF-IDF, and C of SVMs."""
        done = []

        def tfidf(texts, settings, of=module._tfidf):
            done.append({name: value for name, value in settings.items() if name != "C"})
            return of(texts, settings)

        def train(features, targets, *, C, weights, of=module.train_svms):
            done.append(C)
            return of(features, targets, C=C, weights=weights)

        monkeypatch.setattr(module, "_tfidf", tfidf)
        monkeypatch.setattr(module, "train_svms", train)
        return done

    def test_nothing_is_fitted_twice(self, trained):
        texts, label_sets = make_corpus(60, paths=2)
        X_val, y_val = make_corpus(40, seed=1, paths=2)
        fitted = LinearBaseline(HIERARCHY).fit(texts, label_sets, X_val=X_val, y_val=y_val)
        vectorized = [settings for settings in trained if isinstance(settings, dict)]
        strengths = [C for C in trained if not isinstance(C, dict)]
        assert [settings["ngram_range"] for settings in vectorized[:2]] == [(1, 2), (1, 1)]
        assert [settings["min_df"] for settings in vectorized] == [2, 2, 2, 1, 3]
        assert strengths == [1, 1, 1, 1, 1, 0.3, 3]
        for name, value in fitted.vectorizer_.get_params().items():
            if name in ("ngram_range", "stop_words", "min_df"):
                assert value == getattr(fitted.choices_, name)

    @pytest.mark.parametrize("seed", range(6))
    def test_paths_and_thresholds_are_searched_side_by_side(self, monkeypatch, seed):
        texts, label_sets = make_corpus(15, seed=seed)
        X_val, y_val = make_corpus(60, seed=seed + 10)
        trained = []

        def train(training, settings, known, of=module._train):
            trained.append(settings)
            return of(training, settings, known)

        monkeypatch.setattr(module, "_train", train)
        both, path, threshold = (
            LinearBaseline(HIERARCHY, decoding=decoding).fit(texts, label_sets, X_val=X_val, y_val=y_val)
            for decoding in ("auto", "path", "threshold")
        )
        expected = max(path, threshold, key=lambda fitted: fitted.choices_.validation_score)
        assert both.choices_ == expected.choices_
        np.testing.assert_array_equal(both.predict(X_val), expected.predict(X_val))
        of_both, of_single = trained[:-14], trained[-14:]
        assert all(settings not in of_both[:number] for number, settings in enumerate(of_both))
        assert all(settings in of_both for settings in of_single)

    def test_only_what_is_auto_is_tried(self, trained):
        texts, label_sets = make_corpus(60, paths=2)
        fixed = {"C": 0.5, "min_df": 0.1, "stop_words": ["the"], "ngram_range": (1, 1), "decoding": "path"}
        baseline = LinearBaseline(HIERARCHY, **fixed, parent_weight=0.5)
        baseline.fit(texts, label_sets, X_val=texts[:20], y_val=label_sets[:20])
        assert len(trained) == 2
        assert {name: getattr(baseline.choices_, name) for name in fixed} == fixed
        assert baseline.choices_.parent_weight == 0.5
        assert "the" not in baseline.vectorizer_.vocabulary_

    def test_equally_good_values_are_the_first_ones(self):
        texts, label_sets = make_corpus(200)
        fitted = LinearBaseline(HIERARCHY).fit(texts, label_sets, X_val=texts, y_val=label_sets)
        assert fitted.choices_ == LinearChoices((1, 2), None, 2, 1.0, "path", 0.0, 2.0)

    def test_words_of_single_texts_are_kept_if_they_help(self):
        texts = [f"same word{number}" for number in range(12)]
        label_sets = [{"optics"} if number % 2 else {"rowing"} for number in range(12)]
        fitted = LinearBaseline(HIERARCHY).fit(texts, label_sets, X_val=texts, y_val=label_sets)
        assert fitted.choices_.min_df == 1
        assert fitted.score(texts, label_sets) == 1

    def test_each_value_is_the_best_beside_the_other_choices(self):
        texts, label_sets = make_corpus(20, paths=3)
        X_val, y_val = make_corpus(60, seed=1, paths=3)
        chosen = LinearBaseline(HIERARCHY).fit(texts, label_sets, X_val=X_val, y_val=y_val).choices_
        assert chosen.C != 1
        values = {name: getattr(chosen, name) for name in ("ngram_range", "stop_words", "min_df")}
        by_strength = {
            C: LinearBaseline(HIERARCHY, **values, C=C).fit(texts, label_sets, X_val=X_val, y_val=y_val)
            for C in (0.3, 1.0, 3.0)
        }
        scores = {C: fitted.choices_.validation_score for C, fitted in by_strength.items()}
        assert scores[chosen.C] == max(scores.values()) == chosen.validation_score
        f1 = micro_macro_f1(binarize(y_val), by_strength[chosen.C].predict(X_val))
        assert sum(f1) == pytest.approx(chosen.validation_score)

    def test_a_choice_without_any_word_is_skipped(self):
        texts, label_sets = ["the of and", "with from to"] * 6, [{"optics"}, {"rowing"}] * 6
        fitted = LinearBaseline(HIERARCHY).fit(texts, label_sets, X_val=texts, y_val=label_sets)
        assert fitted.choices_.stop_words is None
        assert fitted.score(texts, label_sets) == 1
        with pytest.raises(ValueError, match=r"TF-IDF needs a word that 2 of the 12 texts have: empty"):
            LinearBaseline(HIERARCHY, stop_words="english", min_df=2).fit(
                texts, label_sets, X_val=texts, y_val=label_sets
            )

    def test_the_first_choice_may_have_no_word(self):
        texts, label_sets = ["lens", "oar"], [{"optics"}, {"rowing"}]
        fitted = LinearBaseline(HIERARCHY).fit(texts, label_sets, X_val=texts, y_val=label_sets)
        assert fitted.choices_.min_df == 1
        assert fitted.score(texts, label_sets) == 1
        alone = LinearBaseline(HIERARCHY).fit(["lens"], ["optics"], X_val=["lens"], y_val=["optics"])
        assert alone.choices_.min_df == 1

    def test_paths_and_a_threshold_are_tried_where_every_text_has_one_path(self):
        texts, label_sets = make_corpus(60)
        # The validation texts have two paths, so that a threshold is better.
        X_val, y_val = make_corpus(60, seed=1, paths=2)
        fitted = LinearBaseline(HIERARCHY).fit(texts, label_sets, X_val=X_val, y_val=y_val)
        assert fitted.choices_.decoding == "threshold"
        fixed = LinearBaseline(HIERARCHY, decoding="path").fit(texts, label_sets, X_val=X_val, y_val=y_val)
        assert fixed.choices_.decoding == "path"
        assert fixed.choices_.validation_score < fitted.choices_.validation_score
        # With one path each, they are paths; and never, if a training text has no label.
        one = {"X_val": texts, "y_val": label_sets}
        assert LinearBaseline(HIERARCHY).fit(texts, label_sets, **one).choices_.decoding == "path"
        none = [*label_sets[1:], set()]
        assert LinearBaseline(HIERARCHY).fit(texts, none, **one).choices_.decoding == "threshold"

    def test_the_constants_without_a_choice(self):
        assert FIXED.keys() == {"ngram_range", "stop_words", "min_df", "C", "parent_weight"}
        assert {name: FIXED[name] for name in ("ngram_range", "min_df")} == {
            "ngram_range": (1, 2),
            "min_df": 2,
        }
        assert (FIXED["stop_words"], FIXED["C"], FIXED["parent_weight"]) == (None, 1, 0)
        assert (TFIDF["ngram_range"], TFIDF["min_df"]) == ((1, 2), 2)


class TestTune:
    @pytest.fixture
    def fitted(self):
        return LinearBaseline(HIERARCHY, **FIXED).fit(*make_corpus(20, paths=2))

    @pytest.mark.parametrize("optimize", ["micro_macro", "micro", "macro", "hierarchical", "precision@2"])
    def test_it_is_the_decision_of_a_fit(self, fitted, optimize):
        X_val, y_val = make_corpus(60, seed=1, paths=2)
        coef = fitted.coef_
        assert fitted.set_params(optimize=optimize).tune(X_val, y_val) is fitted
        again = LinearBaseline(HIERARCHY, **FIXED, optimize=optimize)
        again.fit(*make_corpus(20, paths=2), X_val=X_val, y_val=y_val)
        assert fitted.coef_ is coef
        assert fitted.choices_ == again.choices_
        assert fitted.decision_.threshold == again.decision_.threshold

    def test_each_metric_is_highest_when_it_is_optimized(self, fitted):
        X_val, y_val = make_corpus(60, seed=1, paths=2)
        found = {}
        for optimize in ("micro_macro", "micro", "macro"):
            fitted.set_params(optimize=optimize).tune(X_val, y_val)
            found[optimize] = micro_macro_f1(binarize(y_val), fitted.predict(X_val))
        assert found["micro"].micro == max(f1.micro for f1 in found.values())
        assert found["macro"].macro == max(f1.macro for f1 in found.values())
        assert found["micro"].micro > found["macro"].micro
        assert fitted.choices_.validation_score == found["macro"].macro

    def test_a_number_of_labels_for_each_text(self, fitted):
        X_val, y_val = make_corpus(60, seed=1, paths=2)
        fitted.set_params(optimize="precision@2").tune(X_val, y_val)
        highest = np.argsort(-fitted.decision_function(X_val), axis=1, kind="stable")[:, :2]
        predicted = fitted.predict(X_val)
        assert (np.take_along_axis(predicted, highest, axis=1) == 1).all()
        assert (predicted.sum(axis=1) == 2).all()
        right = np.take_along_axis(binarize(y_val), highest, axis=1).mean()
        assert fitted.choices_.validation_score == pytest.approx(right)

    def test_decoding_and_consistency_are_those_of_now(self, fitted):
        X_val, y_val = make_corpus(60, seed=1, paths=2)
        fitted.set_params(decoding="path", consistency="ancestors", parent_weight=0.3).tune(X_val, y_val)
        assert (fitted.choices_.decoding, fitted.choices_.parent_weight) == ("path", 0.3)
        assert fitted.decision_.consistency == "ancestors"
        fitted.set_params(decoding="auto").tune(X_val, y_val)
        assert fitted.choices_.decoding == "threshold"

    @pytest.mark.parametrize(
        ("parameters", "X", "y", "error"),
        [
            ({}, ["a"], [{"sprot"}], ValueError),
            ({}, ["a"], [{"sport"}] * 2, ValueError),
            ({}, [3], [{"sport"}], TypeError),
            ({"optimize": "weighted"}, ["a"], [{"sport"}], InvalidParameterError),
        ],
    )
    def test_an_error_changes_nothing(self, fitted, parameters, X, y, error):
        before = fitted.decision_, fitted.choices_
        with pytest.raises(error):
            fitted.set_params(**parameters).tune(X, y)
        assert (fitted.decision_, fitted.choices_) == before

    def test_it_needs_a_fit(self):
        with pytest.raises(NotFittedError):
            LinearBaseline(HIERARCHY).tune(*make_corpus(5))


def test_a_failed_fit_leaves_the_former_one():
    texts, label_sets = make_corpus(40)
    fitted = LinearBaseline(HIERARCHY).fit(texts, label_sets)
    before = {name: value for name, value in vars(fitted).items() if name.endswith("_")}
    with pytest.raises(ValueError, match="needs a word that 30 of the 3 texts have"):
        fitted.set_params(min_df=30).fit(["lens", "oar", "fish"], ["optics", "rowing", "zoology"])
    assert all(getattr(fitted, name) is value for name, value in before.items())


class TestWeightsAndMissingTargets:
    TEXTS, LABEL_SETS = make_corpus(80)
    INDICATOR = binarize(LABEL_SETS).astype(float)
    DRAWS = np.random.default_rng(0)
    UNKNOWN = DRAWS.random(INDICATOR.shape) < 0.3
    WITH_NAN = np.where(UNKNOWN, np.nan, INDICATOR)
    WEIGHTS = DRAWS.integers(1, 4, 80).astype(float)
    HELD, HELD_SETS = make_corpus(40, seed=1)
    HELD_NAN = np.where(DRAWS.random((40, 10)) < 0.3, np.nan, binarize(HELD_SETS))
    HELD_WEIGHTS = DRAWS.integers(1, 4, 40).astype(float)

    def reference(self, unknown, weights):
        """Return the margins of an SVM for each label, on the texts whose target is known."""
        features = TfidfVectorizer(**TFIDF).fit_transform(self.TEXTS).astype(np.float64)
        margins = []
        for label, target in enumerate(self.INDICATOR.T):
            rows = np.flatnonzero(~unknown[:, label])
            svm = LinearSVC(random_state=0, max_iter=10_000)
            svm.fit(features[rows], target[rows], None if weights is None else weights[rows])
            margins.append(svm.decision_function(features))
        return np.column_stack(margins)

    @pytest.mark.parametrize("weighted", [False, True])
    @pytest.mark.parametrize("missing", [False, True])
    def test_margins(self, weighted, missing):
        weights = self.WEIGHTS if weighted else None
        unknown = self.UNKNOWN & missing
        y = np.where(unknown, np.nan, self.INDICATOR)
        found = LinearBaseline(HIERARCHY).fit(self.TEXTS, y, weights).decision_function(self.TEXTS)
        np.testing.assert_allclose(found, self.reference(unknown, weights), atol=1e-3)
        if weighted or missing:
            plain = LinearBaseline(HIERARCHY).fit(self.TEXTS, self.INDICATOR).decision_function(self.TEXTS)
            assert np.abs(found - plain).max() > 0.01

    def test_a_text_of_weight_0_is_left_out(self):
        weights = np.arange(80) % 4 > 0
        kept = np.flatnonzero(weights)
        found = LinearBaseline(HIERARCHY).fit(self.TEXTS, self.LABEL_SETS, weights)
        expected = LinearBaseline(HIERARCHY).fit(
            [self.TEXTS[row] for row in kept], [self.LABEL_SETS[row] for row in kept]
        )
        assert found.vectorizer_.vocabulary_ == expected.vectorizer_.vocabulary_
        np.testing.assert_allclose(
            found.decision_function(self.TEXTS), expected.decision_function(self.TEXTS), atol=1e-3
        )

    def test_a_missing_label_may_be_one_of_several_paths(self):
        assert LinearBaseline(HIERARCHY).fit(self.TEXTS, self.INDICATOR).choices_.decoding == "path"
        assert LinearBaseline(HIERARCHY).fit(self.TEXTS, self.WITH_NAN).choices_.decoding == "threshold"

    @pytest.mark.parametrize("optimize", ["micro_macro", "micro", "macro", "hierarchical", "precision@2"])
    def test_validation_scores(self, optimize):
        baseline = LinearBaseline(HIERARCHY, **FIXED, optimize=optimize)
        held = {"X_val": self.HELD, "y_val": self.HELD_NAN, "sample_weight_val": self.HELD_WEIGHTS}
        baseline.fit(self.TEXTS, self.INDICATOR, **held)
        known = ~np.isnan(self.HELD_NAN)
        targets, weights = np.where(known, self.HELD_NAN, 0), self.HELD_WEIGHTS
        predicted = baseline.predict(self.HELD)
        expected = score_of_decision(
            optimize, targets, predicted, baseline.hierarchy_, weights, sparse.csr_array(~known)
        )
        assert baseline.choices_.validation_score == pytest.approx(expected)
        if optimize == "micro":
            pairs = np.repeat(weights[:, None], 10, axis=1)[known]
            assert expected == pytest.approx(f1_score(targets[known], predicted[known], sample_weight=pairs))
        before = baseline.choices_
        baseline.tune(self.HELD, self.HELD_NAN, self.HELD_WEIGHTS)
        assert baseline.choices_ == before

    def test_the_threshold_depends_on_weights(self):
        baseline = LinearBaseline(HIERARCHY, decoding="threshold").fit(self.TEXTS, self.INDICATOR)
        noisy = [*self.HELD_SETS[:20], *reversed(self.HELD_SETS[20:])]
        thresholds = {
            float(baseline.tune(self.HELD, noisy, weights).decision_.threshold)
            for weights in (None, np.repeat([1, 0], 20), np.repeat([0, 1], 20))
        }
        assert len(thresholds) > 1

    def test_score_leaves_out_what_is_missing(self):
        baseline = LinearBaseline(HIERARCHY).fit(self.TEXTS, self.INDICATOR)
        predicted, known = baseline.predict(self.HELD), ~np.isnan(self.HELD_NAN)
        right = [
            (row[of] == true[of]).all() for row, true, of in zip(predicted, self.HELD_NAN, known, strict=True)
        ]
        score = baseline.score(self.HELD, self.HELD_NAN, self.HELD_WEIGHTS)
        assert score == pytest.approx(np.average(right, weights=self.HELD_WEIGHTS))

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"sample_weight": [1.0] * 79}, r"^sample_weight: .*\(79,\)"),
            ({"sample_weight": [1.0] * 79 + [-1.0]}, r"^sample_weight\[79\] is -1.0"),
            ({"sample_weight_val": [1.0] * 40}, "sample_weight_val is given but X_val is not"),
            (
                {"X_val": HELD, "y_val": HELD_SETS, "sample_weight_val": [-1.0] * 40},
                r"sample_weight_val\[0\]",
            ),
            ({"X_val": HELD, "y_val": np.full((40, 10), np.nan)}, "no text .* has a known target"),
        ],
    )
    def test_errors_leave_nothing_fitted(self, arguments, message):
        baseline = LinearBaseline(HIERARCHY)
        with pytest.raises(ValueError, match=message):
            baseline.fit(self.TEXTS, self.LABEL_SETS, **arguments)
        assert not [name for name in vars(baseline) if name.endswith("_")]
