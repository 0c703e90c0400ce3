"""`HiMatchClassifier`: the scikit-learn estimator."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin, _fit_context
from sklearn.utils import Tags, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from skhimatch import persistence
from skhimatch.estimator_tags import multilabel_text_tags
from skhimatch.evaluation.optimized import MetricOptions
from skhimatch.export.to_onnx import to_onnx
from skhimatch.fitting.calibrate import calibrate
from skhimatch.fitting.checked_input import (
    checked_labelled_texts,
    checked_texts,
    checked_validation_texts,
)
from skhimatch.fitting.fit import fit
from skhimatch.fitting.one_more_epoch import Trainers, fit_more
from skhimatch.fitting.tune import tune
from skhimatch.labels import targets
from skhimatch.labels.formats import as_hierarchy, hierarchy_over
from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.model_card import model_card
from skhimatch.network.device import one_thread
from skhimatch.new_labels import with_labels
from skhimatch.parameters import Parameters
from skhimatch.predictor import FittedPredictor
from skhimatch.storage.errors import damage_named
from skhimatch.text.pretrained import PretrainedEncoder, as_encoder
from skhimatch.training.net_params import split_net_params

__all__ = ["HiMatchClassifier"]


class HiMatchClassifier(FittedPredictor, ClassifierMixin, BaseEstimator):
    """Hierarchical text classification by label-semantics matching (HiMatch).

    Texts and labels are encoded and projected into one space. Training puts a text closest to its
    fine-grained labels, then to their ancestors, then to wrong siblings, then to all other labels:

    L = L_cls + lambda_joint L_joint + lambda_match L_match   (eq 8)

    The scores of the network are stacked with those of an n-gram classifier and of the labels' names.

    Parameters
    ----------
    hierarchy : dict, pairs, paths, DiGraph, path of a taxonomy file, or LabelHierarchy, optional
        Parents and their children: a tree, a forest or a DAG. None means that labels have no relations.
    tokenizer : transformer, optional
        Turns texts into `TokenSequences`; None means `WordTokenizer()`. Ignored if `X` already is
        `TokenSequences`. With a pretrained encoder, it cuts the words for the n-grams.
    classes : sequence of str, optional
        The labels in the column order of indicators and results, such as ``MultiLabelBinarizer().classes_``;
        by default the sorted labels of the hierarchy. Labels of the hierarchy that are left out are
        contracted.
    label_texts : mapping of str to str or list of str, optional
        Descriptions or alternative names of labels, to use in place of their names. Entries for other labels
        are ignored.
    word_vectors : path, WordVectors, mapping or KeyedVectors, optional
        Pretrained word vectors. None means that they are learned from the co-occurrence of words in the
        training texts. Clones share a path or `WordVectors`; a plain mapping is copied for each.
    class_weight : {"balanced"}, mapping of str to float, or None
        How much the texts with a label count when scorers learn that label; a label without an entry has the
        weight 1. "balanced": texts with label l have the weight n / (2 n_l) in the loss of l and the others
        n / (2 (n - n_l)), where n_l of n training texts have it (sums of weights, with `sample_weight`). All
        classification losses treat labels one by one, so this is the same for each of them. The joint and the
        matching loss, stacking weights and thresholds have no class weights: probabilities remain calibrated.
    lexical : {"words", "ngrams"} or None
        What is stacked with the network. "ngrams": a linear classifier on words and word pairs, and scores of
        the labels' names. "words": beside a pretrained encoder, also a network of words with the default
        encoder. None: nothing.
    encoder : {"attention", "gru", "cnn", "rcnn"}, PretrainedEncoder, str or path
        The text encoder: a convolution or a BiGRU, with an attention for each label; or convolutions of
        several widths with max-pooling, or the paper's BiGRU with these behind it; or a pretrained
        transformer. ``net_params={"module__pooling": ...}`` combines them otherwise: "attention" for each
        label, "shared_attention" for all labels, or "max". A folder, or a model's name on the Hugging Face
        hub, is the short form of ``PretrainedEncoder(name)``.
    propagation : {"gcn", "gated"} or None
        How text features are propagated over the hierarchy (eq 1).
    head : {"auto", "matching", "labelwise", "flat", "dot"}
        The classifier. "matching": a label's logit comes from its distance to the text in the joint space,
        where its point is its meaning plus trained weights; labels with few training texts stay near their
        meaning. On a pretrained encoder the meaning is the encoded name, and texts are compared with it
        alone, too. "labelwise": a row of weights for each label, on that label's node. "flat": one linear
        layer on all nodes (the paper's). "dot" compares the text with the label's own text and has no weights
        of single labels (the paper's for EURLEX57K): it scores labels without training texts, and
        `add_labels` can add labels later. It needs labels that attend to words, and no `propagation`.
        "auto": "matching" on a pretrained encoder, otherwise "labelwise" if labels have nodes, else "flat".
    sampling : {"auto", "hierarchy", "random", "all"}
        The negatives of the matching loss. "hierarchy": ancestors, one sibling and one other label (the
        paper's). "random": as many random ones. "all": ancestors, all siblings and all other labels. "auto":
        "all" with ``head="matching"``, else "hierarchy".
    gamma, alpha, beta : float
        Margins of eq 7: gamma for random labels, beta * gamma for siblings, alpha * gamma for ancestors.
        Usually alpha < beta.
    classification_loss : {"squared_hinge", "cross_entropy", "mean_cross_entropy"}
        L_cls, summed over labels; the last one is averaged over labels, as in the paper.
    lambda_joint, lambda_match : float
        Weights of the joint embedding loss (eq 5) and of the matching loss (eq 6); 0 omits a loss. With
        ``head="matching"`` both act on the distances that are predicted with, and eq 6 is a sum over pairs.
        With other heads they shape only the space of `transform` and `label_embeddings_`, and eq 6 is a mean
        over pairs. With the paper's ``lambda_joint=1`` all labels can collapse into one point.
    max_epochs : int or "auto"
        Passes over the training texts. "auto" is 4, or with more than 200 labels as many as make 15,000
        steps, from 4 to 10; if these are less than 1,000 steps, as many as make 1,000, up to 20.
    batch_size : int
        Texts for each training step.
    learning_rate : float or "auto"
        The highest learning rate of Adam. "auto" is 0.004, and less for more than 1,500 steps: in proportion
        to one over the square root of their number. With a pretrained encoder it is 0.001.
    schedule : {"one-cycle", "constant"}
        "one-cycle" raises the learning rate to `learning_rate`, then lowers it to zero.
    validation_fraction : float in [0, 1) or "auto"
        Share of the texts that is held out, to choose the best epoch, the stacking weights and the threshold.
        0 holds out none and keeps the last epoch. Each label keeps a training text. "auto" holds out a tenth,
        or up to a fifth if that is fewer than 500 texts. Up to 2,000 texts are cross-fitted instead: weights
        and threshold are learned from all of them, each scored by a classifier that was trained on others.
        That takes two to four times as long, and every epoch is trained. There is no cross-fitting with
        `callbacks`, which may need held-out texts, or with a pretrained encoder that is trained. Of fewer
        than 20 texts none is held out.
    patience : int or None
        Training stops after this number of epochs in a row without a better micro-F1 + macro-F1. None runs
        all epochs. Of equal epochs the last one is kept.
    threshold : float, array-like of shape (L,), or "auto"
        The lowest probability of a predicted label, for all labels or for each. In a path: less probable
        labels of the path are left out. "auto" chooses by the held-out texts: for each label, the threshold
        at which `optimize` is highest. Without held-out texts it is 0.5, or in
        a path the probability at which the path is extended.
    optimize : {"micro_macro", "micro", "macro", "hierarchical"} or "precision@k"
        What ``threshold="auto"`` maximises: micro-F1, macro-F1, or their sum; or hierarchical F1, which
        counts ancestors of true and of predicted labels, too. Where training texts have all ancestors of
        their labels, that is the same as micro-F1. With "precision@3" each text gets its three most probable
        labels, and `decoding` has no effect.
    decoding : {"auto", "threshold", "path"}
        "path" predicts the most probable path, or nothing if that is more probable. It stops early if that is
        better on held-out texts. "auto" does so if all training targets are single paths, or empty, and uses
        the threshold otherwise.
    consistency : {"auto", "ancestors", "descendants"} or None
        How predictions that contradict the hierarchy are repaired: missing ancestors are added, or labels
        without their ancestors are dropped. "auto" adds them if every training text has all ancestors of its
        labels.
    device : str or torch.device
        "auto" is an NVIDIA GPU if there is one, else the CPU.
    precision : {"auto", "float32", "bfloat16"}
        The number format of training. "auto" is bfloat16 on NVIDIA GPUs that have it, and with a pretrained
        encoder on CPUs that have it, else float32. Predictions are always computed in float32.
    random_state : int, RandomState or None
        With an int, fits on a CPU are equal bit by bit, with the same number of threads. Global random
        generators are neither used nor changed.
    warm_start : bool
        Whether `fit` continues from the last fit: with its vocabulary, the weights of its networks, and its
        seed, so that the same of the same texts are held out. The labels have to be the same. N-gram
        classifiers, which take seconds, stacking weights and thresholds are fitted anew, and so are the
        classifiers of a cross-fitting. `history_` goes on.
    callbacks : list of skorch callbacks, optional
        Run during `fit`, after the built-in ones.
    net_params : dict, optional
        Further settings: ``module__*`` entries for the network (such as ``module__dropout``), the others for
        ``skorch.NeuralNet`` (such as ``optimizer="adamw"`` and ``optimizer__weight_decay``) or `TrainingNet`
        (``accumulation``: into how many parts a batch is cut if it does not fit into memory; ``accelerate``:
        whether the processes that Hugging Face Accelerate connects train together in `fit`). Single entries
        can be searched, for instance as ``net_params__module__dropout``.
    verbose : int
        1 prints a line for each epoch, and shows progress bars. The logger "skhimatch" gets all lines anyway.

    Attributes
    ----------
    classes_ : ndarray of str, shape (L,)
        The labels, in column order.
    hierarchy_ : LabelHierarchy
        The hierarchy of these labels.
    tokenizer_ : transformer or None
        The fitted tokenizer; None if `X` was tokenised.
    vocabulary_ : Vocabulary
        The words of the training texts.
    network_ : Network
        The trained torch module.
    word_network_ : Network or None
        The network of words beside a pretrained encoder.
    ngrams_ : NGramClassifier or None
        The linear classifier on n-grams.
    label_names_ : LabelNames or None
        The scores of the labels' names.
    shortlist_size_ : int or None
        How many labels of a text the network scores, the likeliest by n-grams and names; None is all.
    characters_ : NGramClassifier or None
        The linear classifier on character n-grams; None with `ngrams_`, or if it takes too long to train.
    stacking_weights_ : PathChoice or StackingWeights
        How scores become log-odds; learned from the held-out texts. A `PathChoice` if every training text has
        one path or no label.
    score_offsets_ : dict of str to float32 ndarray of shape (L,), or None
        With many labels: what is subtracted from the scores of each network.
    calibration_ : LinearCalibration, IsotonicCalibration or None
        What `calibrate` learned.
    decision_ : DecisionRule
        Turns probabilities into labels.
    choices_ : Choices
        What was chosen where a parameter is "auto": held-out texts, n-grams, epochs, weights, decision.
    label_embeddings_ : float32 ndarray of shape (L, d_phi)
        The labels' coordinates in the joint space (eq 4), unit rows.
    validation_f1_ : MicroMacroF1 or None
        The scores on the held-out texts from which stacking weights and threshold were learned. None without
        any, and after `partial_fit`.
    history_ : list of dict
        One record for each epoch: losses, the network's own validation scores, texts per second.
    n_iter_ : int
        The number of epochs.
    sparse_output_ : bool
        Whether `predict` returns sparse indicators, since the training targets were sparse.

    See Also
    --------
    as_hierarchy : The formats of a hierarchy.
    WordTokenizer : The default tokenizer.
    PretrainedEncoder : The settings of a pretrained transformer.

    References
    ----------
    Chen, Ma, Lin, Yan: Hierarchy-aware Label Semantics Matching Network for Hierarchical Text Classification.
    ACL 2021.

    Examples
    --------
    >>> from skhimatch import HiMatchClassifier
    >>> texts = ["a quark and a gluon", "the cell divides", "a serve and a volley"] * 8
    >>> label_sets = [{"science", "physics"}, {"science", "biology"}, {"sport", "tennis"}] * 8
    >>> clf = HiMatchClassifier(
    ...     hierarchy={"science": ["physics", "biology"], "sport": ["tennis"]},
    ...     max_epochs=15, batch_size=4, random_state=0,
    ... ).fit(texts, label_sets)
    >>> [sorted(labels) for labels in clf.to_label_sets(clf.predict(["the cell", "a volley"]))]
    [['biology', 'science'], ['sport', 'tennis']]
    """

    _parameter_constraints: dict = {  # noqa: RUF012 (scikit-learn's convention)
        "hierarchy": "no_validation",
        "tokenizer": "no_validation",
        "classes": ["array-like", None],
        "label_texts": [Mapping, None],
        "word_vectors": "no_validation",
        "class_weight": [StrOptions({"balanced"}), Mapping, None],
        "lexical": [StrOptions({"words", "ngrams"}), None],
        "encoder": [str, PathLike, PretrainedEncoder],
        "propagation": [StrOptions({"gcn", "gated"}), None],
        "head": [StrOptions({"auto", "matching", "flat", "labelwise", "dot"})],
        "sampling": [StrOptions({"auto", "hierarchy", "random", "all"})],
        "gamma": [Interval(Real, 0, None, closed="left")],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "beta": [Interval(Real, 0, None, closed="left")],
        "classification_loss": [StrOptions({"squared_hinge", "cross_entropy", "mean_cross_entropy"})],
        "lambda_joint": [Interval(Real, 0, None, closed="left")],
        "lambda_match": [Interval(Real, 0, None, closed="left")],
        "max_epochs": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
        "schedule": [StrOptions({"one-cycle", "constant"})],
        "validation_fraction": [Interval(Real, 0, 1, closed="left"), StrOptions({"auto"})],
        "patience": [Interval(Integral, 1, None, closed="left"), None],
        "threshold": [Interval(Real, 0, 1, closed="both"), "array-like", StrOptions({"auto"})],
        "optimize": [MetricOptions()],
        "decoding": [StrOptions({"auto", "threshold", "path"})],
        "consistency": [StrOptions({"auto", "ancestors", "descendants"}), None],
        "device": [str, torch.device],
        "precision": [StrOptions({"auto", "float32", "bfloat16"})],
        "random_state": ["random_state"],
        "warm_start": ["boolean"],
        "callbacks": [list, None],
        "net_params": [dict, None],
        "verbose": ["verbose"],
    }

    # The nets of `partial_fit`, which hold the state of the optimiser between two calls.
    _trainers: Trainers | None = None

    def __init__(
        self,
        hierarchy: Any = None,
        *,
        tokenizer: Any = None,
        classes: Sequence[str] | None = None,
        label_texts: Mapping[str, str | Iterable[str]] | None = None,
        word_vectors: Any = None,
        class_weight: Mapping[str, float] | str | None = None,
        lexical: str | None = "words",
        encoder: str | PathLike[str] | PretrainedEncoder = "attention",
        propagation: str | None = None,
        head: str = "auto",
        sampling: str = "auto",
        gamma: float = 0.2,
        alpha: float = 0.01,
        beta: float = 0.5,
        classification_loss: str = "squared_hinge",
        lambda_joint: float = 0.0,
        lambda_match: float = 0.1,
        max_epochs: int | str = "auto",
        batch_size: int = 32,
        learning_rate: float | str = "auto",
        schedule: str = "one-cycle",
        validation_fraction: float | str = "auto",
        patience: int | None = 5,
        threshold: float | ArrayLike | str = "auto",
        optimize: str = "micro_macro",
        decoding: str = "auto",
        consistency: str | None = "auto",
        device: str | torch.device = "auto",
        precision: str = "auto",
        random_state: int | np.random.RandomState | None = None,
        warm_start: bool = False,
        callbacks: list[Any] | None = None,
        net_params: dict[str, Any] | None = None,
        verbose: int = 0,
    ) -> None:
        self.hierarchy = hierarchy
        self.tokenizer = tokenizer
        self.classes = classes
        self.label_texts = label_texts
        self.word_vectors = word_vectors
        self.class_weight = class_weight
        self.lexical = lexical
        self.encoder = encoder
        self.propagation = propagation
        self.head = head
        self.sampling = sampling
        self.gamma = gamma
        self.alpha = alpha
        self.beta = beta
        self.classification_loss = classification_loss
        self.lambda_joint = lambda_joint
        self.lambda_match = lambda_match
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.threshold = threshold
        self.optimize = optimize
        self.decoding = decoding
        self.consistency = consistency
        self.device = device
        self.precision = precision
        self.random_state = random_state
        self.warm_start = warm_start
        self.callbacks = callbacks
        self.net_params = net_params
        self.verbose = verbose

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters; with `deep` also single entries of `net_params` and of the encoder.

        Parameters
        ----------
        deep : bool, default=True
            Whether to include them, such as ``net_params__module__dropout`` and ``encoder__freeze``.

        Returns
        -------
        dict of str to object
        """
        entries = self.net_params if deep and isinstance(self.net_params, dict) else {}
        return super().get_params(deep) | {f"net_params__{name}": value for name, value in entries.items()}

    def set_params(self, **params: Any) -> HiMatchClassifier:
        """Set parameters; ``net_params__*`` sets single entries of `net_params`.

        Parameters
        ----------
        **params : object
            By name, such as ``gamma``, ``net_params__module__dropout`` or ``encoder__freeze``.

        Returns
        -------
        HiMatchClassifier
            Itself.

        Raises
        ------
        ValueError
            When a name is unknown.
        """
        prefix = "net_params__"
        entries = {
            name.removeprefix(prefix): params.pop(name) for name in list(params) if name.startswith(prefix)
        }
        of_encoder = next((name for name in params if name.startswith("encoder__")), None)
        encoder = params.get("encoder", self.encoder)
        if of_encoder is not None and not isinstance(encoder, PretrainedEncoder):
            raise ValueError(
                f"{of_encoder!r} is a setting of a PretrainedEncoder, and encoder is {encoder!r}: if that is "
                f"a pretrained encoder, pass encoder=PretrainedEncoder({encoder!r}) first."
            )
        super().set_params(**params)
        if entries:
            before = self.net_params or {}
            # These say which other entries there are.
            context = {name: before[name] for name in ("optimizer", "compile") if name in before}
            split_net_params(context | entries, as_encoder(self.encoder), self.propagation)
            # A new dict: clones may share the old one.
            self.net_params = {**before, **entries}
        return self

    # ------------------------------------------------------------------ fitting

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: ArrayLike | None = None,
        validation_data: tuple[Any, Any] | None = None,
        checkpoint: str | PathLike[str] | None = None,
    ) -> HiMatchClassifier:
        """Train on texts and their labels.

        Parameters
        ----------
        X : iterable of n str, iterable of n lists of str, or TokenSequences
            The texts, or a DataFrame or array of one column of texts. A text may have no known word.
        y : iterable of n iterables of str, iterable of n str, indicator of shape (n, L), or DataFrame
            The labels of each text. A single string is the end of a path: its ancestors are added. A text
            without labels is a negative example of each label. NaN in an indicator, or in a DataFrame, says
            that it is not known whether the text has the label: nothing is learned from that pair of text
            and label, and it is neither right nor wrong in validation scores. With missing targets
            ``decoding="auto"`` uses the threshold, because such a text may have several paths.
        sample_weight : array-like of shape (n,), optional
            Weights of the texts, from 0. A text of weight 0 is left out, but its labels are known. Weights
            count in all losses, frequencies of labels, stacking weights, thresholds and validation scores.
            In support vector machines and stacking, a weight of 2 is the text twice; networks take the
            weighted mean of each batch. Words, n-grams and their document frequencies are counted without
            weights, and so are the texts to hold out.
        X_val, y_val : as `X` and `y`, optional
            An official validation set, to use instead of held-out texts. With fewer than 500 texts and
            ``validation_fraction="auto"``, up to 2,000 training texts are cross-fitted, too. With tens of
            thousands of labels, only a random part of it is used if it has thousands of texts.
        sample_weight_val : array-like, optional
            Weights of the texts of `X_val`.
        validation_data : (X_val, y_val), optional
            Deprecated: pass `X_val` and `y_val`.
        checkpoint : path, optional
            A folder that keeps what is done so far: the n-gram classifiers, and each epoch. A fit that was
            stopped continues from there when it is called again with the same data and parameters, and has
            the same result. It needs an integer `random_state`.

        Returns
        -------
        HiMatchClassifier
            Itself.

        Raises
        ------
        ValueError, TypeError
            When texts, labels, hierarchy or parameters are not as described, or ``warm_start=True`` and the
            last fit had other labels or networks; nothing is fitted then.
        NonFiniteLossError
            When the loss becomes NaN before one epoch is complete.
        """
        texts = checked_texts(X)
        y = targets.reusable(y)
        hierarchy = self._resolve_hierarchy(y)
        training = checked_labelled_texts(
            texts, y, hierarchy, sample_weight=sample_weight, class_weight=self.class_weight
        )
        before = self._state_on_device() if self.warm_start and hasattr(self, "state_") else None
        seed = self._draw_seed() if before is None else before.seed
        pair = targets.validation_pair(X_val, y_val, validation_data)
        if pair is None and sample_weight_val is not None:
            raise ValueError("sample_weight_val is given but X_val is not: pass both, or only sample_weight.")
        validation = None if pair is None else checked_validation_texts(*pair, hierarchy, sample_weight_val)
        self.state_ = fit(
            self._parameters(),
            hierarchy,
            training,
            validation,
            seed=seed,
            sparse_output=sp.issparse(y),
            checkpoint=checkpoint,
            before=before,
        )
        self._trainers = None
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(
        self,
        X: Any,
        y: Any,
        classes: Sequence[str] | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> HiMatchClassifier:
        """Train one more epoch, on these texts only.

        The first call fixes vocabulary, labels, decoding, and which networks there are. The learning rate is
        constant, and nothing is held out. After `fit`, training continues from the fitted weights. If a
        parameter of training was changed since the last call, the optimiser starts anew with it. What
        `calibrate` learned is dropped.

        Parameters
        ----------
        X, y : as in `fit`
            Texts and labels.
        classes : sequence of str, optional
            All labels, in the first call, if neither `hierarchy` nor the parameter `classes` names them. In
            later calls they may be repeated.
        sample_weight : array-like of shape (n,), optional
            Weights of the texts, as in `fit`.

        Returns
        -------
        HiMatchClassifier
            Itself.

        Raises
        ------
        ValueError, TypeError
            As `fit`, or if `classes` are not those of the first call or of the parameter `classes`, or if
            `class_weight` is "balanced", which needs all texts.
        NonFiniteLossError
            When the loss becomes NaN. After any error the weights are as before the call.
        """
        texts = checked_texts(X)
        y = targets.reusable(y)
        state = self._state_on_device() if hasattr(self, "state_") else None
        known = self.classes if state is None else state.classes
        if classes is not None and known is not None and [*map(str, classes)] != [*map(str, known)]:
            raise ValueError(
                f"`classes` are not the {len(known)} labels that are known already, in their order "
                f"({', '.join(map(str, known[:3]))}, ...): leave `classes` out, or fit a new classifier."
            )
        if isinstance(self.class_weight, str):
            raise ValueError(
                f"class_weight={self.class_weight!r} needs all texts, and partial_fit sees a part of them: "
                "set class_weight to a dict of label names and weights."
            )
        hierarchy = self._resolve_hierarchy(y, classes) if state is None else state.hierarchy
        training = checked_labelled_texts(
            texts, y, hierarchy, sample_weight=sample_weight, class_weight=self.class_weight
        )
        seed = self._draw_seed() if state is None else state.seed
        trainers, self._trainers = self._trainers, None
        self.state_, self._trainers = fit_more(
            self._parameters(),
            state,
            trainers if state is not None else None,
            hierarchy,
            training,
            seed=seed,
            sparse_output=sp.issparse(y),
        )
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def tune(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> HiMatchClassifier:
        """Learn the stacking weights and the threshold anew, without training.

        Use it after `partial_fit`, after a fit without held-out texts, for another `optimize`, or when texts
        have changed since the fit. What `calibrate` learned is dropped.

        Parameters
        ----------
        X, y : as in `fit`
            Texts and labels that were not trained on.
        sample_weight : array-like of shape (n,), optional
            Weights of these texts.

        Returns
        -------
        HiMatchClassifier
            Itself.

        Raises
        ------
        ValueError, TypeError
            As `fit`; nothing is changed then.

        Examples
        --------
        >>> from skhimatch import HiMatchClassifier
        >>> texts = ["a quark and a gluon", "the cell divides", "a serve and a volley"] * 8
        >>> label_sets = [{"physics"}, {"biology"}, {"tennis"}] * 8
        >>> clf = HiMatchClassifier(max_epochs=2, random_state=0).fit(texts, label_sets)
        >>> clf.set_params(optimize="macro").tune(texts[:6], label_sets[:6]).validation_f1_.micro
        1.0
        """
        state = self._state_on_device()
        held_out = checked_labelled_texts(checked_texts(X), y, state.hierarchy, sample_weight=sample_weight)
        self.state_ = tune(self._parameters(), state, held_out)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def calibrate(
        self, X: Any, y: Any, method: str = "isotonic", sample_weight: ArrayLike | None = None
    ) -> HiMatchClassifier:
        """Calibrate the probabilities: of texts with the probability p for a label, a share p shall have it.

        Each label is calibrated alone, by a function that keeps the order of texts. Where all training texts
        have all ancestors of their labels, no label gets more probable than its parents: it gets their
        probability then. ``threshold="auto"`` is chosen anew for the calibrated probabilities. `fit`,
        `partial_fit` and `tune` end the calibration.

        Parameters
        ----------
        X, y : as in `fit`
            Texts and labels that were not trained on. Missing targets (NaN in an indicator) are left out.
        method : {"isotonic", "sigmoid", "temperature"}
            "isotonic": any rising function, for hundreds of texts with a label. "sigmoid": a slope and an
            intercept of the log-odds. "temperature": a slope alone.
        sample_weight : array-like of shape (n,), optional
            Weights of these texts.

        Returns
        -------
        HiMatchClassifier
            Itself.

        Raises
        ------
        ValueError, TypeError
            As `fit`, or if there is no such method; nothing is changed then.

        Notes
        -----
        A label with few of these texts is changed less, and one that none has, or all, remains as it was.
        With "isotonic" and m texts that have the label (or m that have not, if these are fewer), the result
        is m / (m + 10) times the rising function plus 10 / (m + 10) times the probability before. The others
        have a prior that changes nothing: a normal distribution for the intercept and for the logarithm of
        the slope, with a standard deviation of 1.

        Examples
        --------
        >>> from skhimatch import HiMatchClassifier
        >>> texts = ["a quark and a gluon", "the cell divides", "a serve and a volley"] * 8
        >>> label_sets = [{"physics"}, {"biology"}, {"tennis"}] * 8
        >>> clf = HiMatchClassifier(max_epochs=2, random_state=0).fit(texts, label_sets)
        >>> clf.calibrate(texts[:6], label_sets[:6], method="sigmoid").choices_.calibration
        'sigmoid'
        """
        state = self._state_on_device()
        held_out = checked_labelled_texts(checked_texts(X), y, state.hierarchy, sample_weight=sample_weight)
        self.state_ = calibrate(self._parameters(), state, held_out, method)
        return self

    def add_labels(
        self,
        edges: Iterable[tuple[str, str]] = (),
        label_texts: Mapping[str, str | Iterable[str]] | None = None,
    ) -> HiMatchClassifier:
        """Add labels to a fitted classifier, without training.

        The new labels are scored by their texts or names. Every classifier compares these with the words of a
        text; a pretrained encoder with ``head="matching"``, and ``head="dot"``, also compare what they mean.
        Linear classifiers and labelwise weights say nothing about new labels before `partial_fit`. The new
        labels are put behind the others in `classes_`, sorted.

        Parameters
        ----------
        edges : iterable of (parent, child)
            Where the new labels belong; parents may be new as well, and edges between known labels are
            allowed. A new label without an edge is a root.
        label_texts : mapping of str to str or iterable of str, optional
            Descriptions or alternative names of new labels, to use in place of their names. A label without
            any word of the training texts is scored by its parents and children only.

        Returns
        -------
        HiMatchClassifier
            Itself.

        Raises
        ------
        ValueError
            When there is no new label, a text is given for a known label, the edges form a cycle, nothing is
            known of a label (no word and no edge), or the network cannot take more labels: with
            ``head="flat"``, or propagation from one vector for each text. Nothing is changed then.

        Examples
        --------
        >>> from skhimatch import HiMatchClassifier
        >>> texts = ["a quark and a gluon", "the cell divides", "a serve and a volley"] * 8
        >>> label_sets = [{"particle physics"}, {"cell biology"}, {"tennis"}] * 8
        >>> clf = HiMatchClassifier(max_epochs=2, random_state=0).fit(texts, label_sets)
        >>> clf.add_labels(label_texts={"mitosis": "how a cell divides"}).classes_.tolist()
        ['cell biology', 'particle physics', 'tennis', 'mitosis']
        >>> clf.predict_proba(["the cell divides"]).shape
        (1, 4)
        """
        self.state_ = with_labels(self._state_on_device(), edges, label_texts)
        self._trainers = None
        return self

    # -------------------------------------------------------------- persistence

    def save(self, folder: str | PathLike[str]) -> None:
        """Write the fitted classifier to a folder, without pickle.

        Its ``README.md`` says how to load it, which labels it knows, and how it was trained.

        Parameters
        ----------
        folder : path
            Created. If it holds a saved classifier, this is replaced; at every moment the folder holds the
            old one or the new one.

        Raises
        ------
        FileExistsError
            When the folder holds something else; nothing is changed then.
        TypeError
            When a parameter has no JSON form, or the tokenizer is a class of your own.
        ValueError
            When a weight is not finite.

        Warns
        -----
        UserWarning
            When the folder holds the files of a save that was stopped.
        """
        check_is_fitted(self)
        card = model_card(self.state_, repr(self))
        persistence.save(self.state_, self.get_params(deep=False), folder, card)

    @classmethod
    def load(cls, folder: str | PathLike[str]) -> HiMatchClassifier:
        """Read a classifier that `save` wrote.

        Parameters
        ----------
        folder : path
            What `save` wrote.

        Returns
        -------
        HiMatchClassifier
            Fitted; it predicts as before, without the file of the word vectors. Loading starts no threads,
            so that the process may fork afterwards.

        Raises
        ------
        FileNotFoundError
            When there is no saved classifier.
        ModelFormatError
            When it is damaged or incomplete, or has another format than this version reads.
        OSError
            When a pretrained encoder that was not stored cannot be loaded by its name.
        """
        with one_thread():
            state, parameters = persistence.load(folder)
        classifier = cls(**parameters)
        classifier.state_ = state
        with damage_named(Path(folder)):
            classifier._validate_params()
            # Raises if threshold, decoding or consistency do not fit the labels.
            classifier._decision()
        return classifier

    def to_onnx(self, path: str | PathLike[str]) -> None:
        """Write the fitted classifier as one ONNX file, for programs without torch or in other languages.

        `OnnxClassifier` reads it with onnxruntime. Its metadata hold the vocabulary, how words are found, the
        n-grams, the labels, the hierarchy and the decision rule with the `threshold`, `decoding` and
        `consistency` set now. It needs the extra ``skhimatch[onnx]``.

        Parameters
        ----------
        path : path
            The file, such as ``"news.onnx"``. If it exists, it is replaced; at every moment it is the old
            one or the new one.

        Raises
        ------
        ImportError
            When onnx or onnxscript is not installed.
        FileNotFoundError, IsADirectoryError
            When no file can be written there.
        TypeError
            When the tokenizer is a class of your own.
        ValueError
            When the classifier reads with a pretrained encoder, or the file would be larger than two
            gigabytes.

        See Also
        --------
        OnnxClassifier : Reads the file.
        """
        check_is_fitted(self)
        to_onnx(self.state_, self._decision(), path)

    # ------------------------------------------------------------------ private

    def _parameters(self) -> Parameters:
        return Parameters(**self.get_params(deep=False))

    def _draw_seed(self) -> int:
        return int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))

    def _resolve_hierarchy(self, y: Any, classes: Sequence[str] | None = None) -> LabelHierarchy:
        """Return the hierarchy of the classes, in column order."""
        classes = self.classes if self.classes is not None else classes
        if self.hierarchy is not None:
            hierarchy = as_hierarchy(self.hierarchy)
            return hierarchy if classes is None else hierarchy_over(hierarchy, classes)
        if classes is None:
            classes = targets.label_names(y)
        if not len(classes):
            raise ValueError(
                "There is no label: y is empty, and neither `hierarchy` nor `classes` names one."
            )
        return LabelHierarchy.flat([str(name) for name in classes])

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        # The optimiser's state is for calls in this process. It is twice as large as the network.
        state.pop("_trainers", None)
        return state

    def __sklearn_tags__(self) -> Tags:
        classes = self.classes_ if self.__sklearn_is_fitted__() else None
        tags = multilabel_text_tags(super().__sklearn_tags__(), classes)
        tags.transformer_tags.preserves_dtype = []
        return tags
