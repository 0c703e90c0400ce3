"""From several scores to the probability of each path, where a text has one path or none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.optimize import minimize

from skhimatch.evaluation.paths import LabelPaths
from skhimatch.scores.stacking import MAX_PAIRS, check_scores
from skhimatch.scores.terms import Terms
from skhimatch.scores.training_labels import TrainingLabels

__all__ = ["PathChoice"]

# Log-odds are limited to this, which is a probability of 1 - 1e-13.
MAX_LOG_ODDS = 30.0


@dataclass(frozen=True)
class PathChoice:
    """A choice of one path, or of no label, by a softmax over weighted sums of scores.

    The logit of the path that ends at label e is

    sum_k (u_k s_k[e] + v_k mean of s_k over e's ancestors - w_k max of s_k over e's children) + b

    with b for labels with children only; the logit of no label is a constant. The weights are learned by
    conditional logistic regression on held-out texts. The probability of a label is the sum over the paths
    with the label, so that no label is more probable than its tagged ancestors.

    Attributes
    ----------
    paths : LabelPaths
        The paths of the training texts.
    weights : mapping of str to float
        u_k, by the scorer's name.
    above : mapping of str to float
        v_k.
    beyond : mapping of str to float
        w_k.
    inner : float
        b.
    nothing : float or None
        The logit of no label; None if every training text has a label.
    """

    paths: LabelPaths = field(compare=False)
    weights: Mapping[str, float]
    above: Mapping[str, float]
    beyond: Mapping[str, float]
    inner: float
    nothing: float | None

    one_path = True
    calibrated = True

    @classmethod
    def learn(
        cls,
        scores: Mapping[str, NDArray[np.float32]],
        targets: sp.csr_array,
        paths: LabelPaths,
        *,
        unlabelled: bool,
        sample_weight: NDArray[np.float64] | None = None,
    ) -> PathChoice | None:
        """Learn the weights from texts on which the scorers were not trained.

        Parameters
        ----------
        scores : mapping of str to arrays of shape (n, L)
            By the scorers' names. A higher score means a more probable label.
        targets : csr_array of shape (n, L)
            0/1 targets.
        paths : LabelPaths
            The paths of the training texts.
        unlabelled : bool
            Whether some training texts have no label.
        sample_weight : float64 array of shape (n,), optional
            The weights of the texts.

        Returns
        -------
        PathChoice or None
            None if no text has one of the paths, or no score helps.
        """
        n_paths = len(paths.ends)
        rows = np.arange(min(targets.shape[0], max(1, MAX_PAIRS // max(1, n_paths))))
        chosen = _paths_of(targets[rows], paths)
        known = (chosen >= 0) & ((chosen < n_paths) | unlabelled)
        rows, chosen = rows[known], chosen[known]
        if not (chosen < n_paths).any():
            return None
        names = list(scores)
        none = dict.fromkeys(names, 0.0)
        blank = cls(paths, none, none, none, 0.0, 0.0 if unlabelled else None)
        columns = blank._columns({name: scores[name][rows] for name in names})
        right = np.zeros((len(rows), n_paths + unlabelled), dtype=np.float32)
        right[np.arange(len(rows)), chosen] = 1
        of_text = None if sample_weight is None else sample_weight[rows]

        def loss(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            """Return the penalised negative log-likelihood, and its gradient."""
            logits = _logits(columns, parameters, unlabelled)
            probabilities = _softmax(logits)
            wrong = probabilities - right
            log_likelihoods = np.log(np.maximum((probabilities * right).sum(axis=1), 1e-30))
            if of_text is not None:
                wrong *= of_text[:, None]
                log_likelihoods *= of_text
            slopes = [float((wrong[:, :n_paths] * column).sum()) for column in columns]
            if unlabelled:
                slopes.append(float(wrong[:, -1].sum()))
            # The penalty of scikit-learn's logistic regression.
            penalty = float(parameters @ parameters) / 2
            return penalty - float(log_likelihoods.sum()), parameters + np.array(slopes)

        # A higher score never makes a label less probable, so weights of the other sign are noise.
        n = len(names)
        bounds = [(0, None)] * (3 * n) + [(None, None)] * (1 + unlabelled)
        start = np.concatenate([np.ones(n), np.zeros(2 * n + 1 + unlabelled)])
        found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
        if not found[:n].any():
            return None
        at_ends, above, beyond = (
            dict(zip(names, part.tolist(), strict=True)) for part in found[: 3 * n].reshape(3, n)
        )
        nothing = float(found[-1]) if unlabelled else None
        return cls(paths, at_ends, above, beyond, float(found[3 * n]), nothing)

    def only(self, names: Iterable[str]) -> PathChoice:
        """Return the choice by some scores, with the same weights.

        Parameters
        ----------
        names : iterable of str
            The scores' names.

        Returns
        -------
        PathChoice
        """
        names = list(names)
        at_ends, above, beyond = (
            {name: part[name] for name in names} for part in (self.weights, self.above, self.beyond)
        )
        return replace(self, weights=at_ends, above=above, beyond=beyond)

    def with_labels(self, labels: TrainingLabels) -> PathChoice:
        """Return the choice among the paths of more labels.

        Parameters
        ----------
        labels : TrainingLabels
            All labels.

        Returns
        -------
        PathChoice
        """
        return self if labels.paths is None else replace(self, paths=labels.paths)

    def __call__(self, scores: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Return the log-odds of labels, float32 of shape (n, L).

        Parameters
        ----------
        scores : mapping of str to arrays of shape (n, L)
            One for each of `weights`.
        """
        of_paths = _softmax(self._logits_of_paths(scores))[:, : len(self.paths.ends)]
        limit = 1 / (1 + np.exp(MAX_LOG_ODDS))
        probabilities = np.clip(self.paths.of_labels(of_paths), limit, 1 - limit)
        return (np.log(probabilities) - np.log1p(-probabilities)).astype(np.float32)

    def terms(self, scores: Mapping[str, NDArray[Any]], label: int) -> Terms:
        """Return by what the likeliest path with a label differs from the likeliest one without it.

        Parameters
        ----------
        scores : mapping of str to arrays of shape (1, L)
            Of one text, as for a call.
        label : int
            The position of the label.

        Returns
        -------
        Terms
            The difference of the logits of the two paths: the log-odds of the label if there were no other
            paths. All zero if no path has the label, or each of them has it.
        """
        [logits] = self._logits_of_paths(scores)
        has_label = np.zeros(len(logits), dtype=bool)
        has_label[self.paths.labels[:, [label]].nonzero()[0]] = True
        if has_label.all() or not has_label.any():
            return Terms({name: np.zeros(scores[name].shape[1]) for name in self.weights}, 0.0)
        path = int(np.where(has_label, logits, -np.inf).argmax())
        other = int(np.where(has_label, -np.inf, logits).argmax())
        weights, constant = self._terms_of_path(scores, path)
        others, constant_of_other = self._terms_of_path(scores, other)
        return Terms(
            {name: weights[name] - others[name] for name in weights},
            constant - constant_of_other,
            rival=int(self.paths.ends[other]) if other < len(self.paths.ends) else None,
        )

    def _terms_of_path(
        self, scores: Mapping[str, NDArray[Any]], path: int
    ) -> tuple[dict[str, NDArray[np.float64]], float]:
        """Return what each label's scores are multiplied by in the logit of a path, and the constant."""
        weights = {name: np.zeros(scores[name].shape[1]) for name in self.weights}
        if path == len(self.paths.ends):
            return weights, float(self.nothing or 0.0)
        end, above = self.paths.ends[path], self.paths.above[[path]]
        children = self.paths.hierarchy.children[[end]].indices
        for name, of_labels in weights.items():
            of_labels[end] += self.weights[name]
            of_labels[above.indices] += self.above[name] * above.data
            if len(children):
                of_labels[children[scores[name][0, children].argmax()]] -= self.beyond[name]
        return weights, self.inner * bool(self.paths.inner[path])

    def _logits_of_paths(self, scores: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
        """Return the logits of the paths, and of no label in the last column if there is one."""
        check_scores(scores, self.weights)
        n_texts, n_paths = len(next(iter(scores.values()))), len(self.paths.ends)
        logits = np.zeros((n_texts, n_paths + (self.nothing is not None)))
        of_paths = logits[:, :n_paths]
        parts = (
            (self.weights, self._at_ends),
            (self.above, self._above_ends),
            (self.beyond, self._beyond_ends),
        )
        for weights, column_of in parts:
            for name in self.weights:
                # Most of the last ones are 0, and what they would multiply is not computed.
                if weights[name]:
                    of_paths += np.float64(weights[name]) * column_of(scores[name])
        if self.inner:
            of_paths += self.inner * self.paths.inner
        if self.nothing is not None:
            logits[:, -1] = self.nothing
        return logits

    def _columns(self, scores: Mapping[str, NDArray[Any]]) -> list[NDArray[np.float32]]:
        """Return what the weights and `inner` multiply, arrays of shape (n, E)."""
        parts = [scores[name] for name in self.weights]
        inner = np.broadcast_to(self.paths.inner.astype(np.float32), (len(parts[0]), len(self.paths.ends)))
        columns_of = (self._at_ends, self._above_ends, self._beyond_ends)
        return [*(column_of(part) for column_of in columns_of for part in parts), inner]

    def _at_ends(self, scores: NDArray[Any]) -> NDArray[np.float32]:
        """Return the scores of the ends of paths, of shape (n, E)."""
        return scores[:, self.paths.ends]

    def _above_ends(self, scores: NDArray[Any]) -> NDArray[np.float32]:
        """Return the mean scores of the labels above the ends of paths, of shape (n, E)."""
        # For dense @ sparse, scipy transposes both, too, and makes sparse arrays for that.
        return np.asarray((self.paths.above @ scores.T).T, dtype=np.float32)

    def _beyond_ends(self, scores: NDArray[Any]) -> NDArray[np.float32]:
        """Return the negative of the highest scores of the children of the ends, of shape (n, E)."""
        return -self.paths.highest_of_children(scores)


def _logits(
    columns: list[NDArray[np.float32]], parameters: NDArray[np.float64], unlabelled: bool
) -> NDArray[np.float64]:
    """Return the logits of the paths, and of no label in the last column if there is one."""
    logits = np.zeros((len(columns[0]), columns[0].shape[1] + unlabelled))
    of_paths = logits[:, : columns[0].shape[1]]
    for column, parameter in zip(columns, parameters[: len(columns)], strict=True):
        if parameter:
            of_paths += parameter * column
    if unlabelled:
        logits[:, -1] = parameters[-1]
    return logits


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what scipy's softmax of each row returns, without its choice among array libraries."""
    numerators = np.exp(logits - logits.max(axis=1, keepdims=True))
    return numerators / numerators.sum(axis=1, keepdims=True)


def _paths_of(targets: sp.csr_array, paths: LabelPaths) -> NDArray[np.int64]:
    """Return the path of each text, E if it has no label, and -1 if its labels are none of the paths."""
    n_paths = len(paths.ends)
    number = np.diff(targets.indptr)
    # A path is in a text if all of its labels are, and it is the text's path if the text has no other.
    together = (targets.astype(np.float32) @ paths.labels.astype(np.float32).T).tocoo()
    length = np.diff(paths.labels.indptr)
    same = (together.data == length[together.col]) & (together.data == number[together.row])
    found = np.where(number == 0, n_paths, -1)
    found[together.row[same]] = together.col[same]
    return found
