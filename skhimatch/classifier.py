"""The estimator: scikit-learn's contract around text, training and decisions."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from numbers import Integral, Real
from os import PathLike
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin, _fit_context, clone
from sklearn.metrics import accuracy_score
from sklearn.utils import Tags, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

import skhimatch
from skhimatch import persistence
from skhimatch.evaluation.decisions import DecisionRule, check_threshold, highest
from skhimatch.evaluation.metrics import micro_macro_f1
from skhimatch.labels import targets
from skhimatch.labels.formats import as_hierarchy
from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.labels.texts import check_label_texts
from skhimatch.network.batches import FixedShortlist, TextDataset
from skhimatch.network.build import Network
from skhimatch.network.device import resolve_device, resolve_precision
from skhimatch.network.himatch import ENCODERS
from skhimatch.network.initial_vectors import label_word_ids
from skhimatch.network.label_attention import MANY_LABELS
from skhimatch.network.label_text_network import LabelTextNetwork
from skhimatch.network.objective import HiMatchLoss
from skhimatch.network.predict import embed_labels, embed_texts, in_blocks, read_by
from skhimatch.network.random_numbers import seeded_construction
from skhimatch.network.start import network_of_words, network_on
from skhimatch.network.transformer import TransformerEncoder
from skhimatch.scores.ensemble import LEARNING_RATES, Evidence, as_probabilities
from skhimatch.scores.names import LabelNames
from skhimatch.text.sequences import SubwordSequences, Texts, TokenSequences, Vocabulary, words_of
from skhimatch.text.subwords import SubwordTokenizer
from skhimatch.text.words import WordTokenizer, check_texts
from skhimatch.training.checkpoints import Checkpoints
from skhimatch.training.loop import TrainingSettings, build_training_net, train, train_one_epoch
from skhimatch.training.net import TrainingNet
from skhimatch.training.net_params import NetParams, split_net_params

__all__ = ["HiMatchClassifier", "TopLabels"]

# Of max_epochs="auto". With many labels each of them has few texts, and is trained on by few. A handful of
# texts is soon known by heart: what more epochs teach is not about others.
FEWEST_STEPS, FEWEST_EPOCHS, FEWEST_EPOCHS_OF_MANY_LABELS, MOST_EPOCHS = 1000, 4, 10, 20
# Held-out texts times labels: half a GiB of scores of each kind. With 50,000 labels that is 2,684 texts.
HELD_OUT_NUMBERS, FEWEST_HELD_OUT = 2**27, 1000
# Of learning_rate="auto": right for some thousand steps, while ten times as many want a third of it.
USUAL_LEARNING_RATE, USUAL_STEPS = 4e-3, 1500
# What a pretrained encoder says of texts and names is worth more than a handful of texts: it is left by small
# steps.
LEARNING_RATE_ON_PRETRAINED = 1e-3


# The network of words beside a pretrained encoder's has the same losses, and all else by default.
SHARED_WITH_WORDS = (
    *("gamma", "alpha", "beta", "sampling", "classification_loss", "lambda_joint", "lambda_match"),
    *("batch_size", "schedule", "patience", "device", "precision", "verbose"),
)


class TopLabels(NamedTuple):
    """The k most probable labels of n texts.

    Attributes
    ----------
    labels : ndarray of str, shape (n, k)
        The most probable first.
    probabilities : float32 ndarray of shape (n, k)
        Theirs.
    """

    labels: NDArray[np.object_]
    probabilities: NDArray[np.float32]


class HiMatchClassifier(ClassifierMixin, TransformerMixin, BaseEstimator):
    """Hierarchical text classification by label-semantics matching (HiMatch).

    Texts and labels are encoded, projected into one space, and trained so
    that a text lies closest to its fine-grained labels, then to their
    ancestors, then to wrong siblings, then to everything else:

    L = L_cls + lambda_joint L_joint + lambda_match L_match   (eq 8)

    Parameters
    ----------
    hierarchy : dict, pairs, paths, DiGraph, path of a taxonomy file, or LabelHierarchy, optional
        Parents and their children; a tree, a forest or a DAG. None means
        flat: labels without any relation.
    tokenizer : transformer, optional
        Turns texts into `TokenSequences`; None means `WordTokenizer()`.
        Ignored where `X` already is `TokenSequences`. With a pretrained
        encoder, what turns them into words beside the encoder's subwords.
    classes : sequence of str, optional
        The labels in the column order of indicators, for instance
        ``MultiLabelBinarizer().classes_``; default the sorted labels of the
        hierarchy. Labels of the hierarchy that are left out are contracted.
    label_texts : mapping of str to str or list of str, optional
        Descriptions or alternative names of labels, to start their vectors.
    word_vectors : path, WordVectors, mapping or KeyedVectors, optional
        Pretrained word vectors; None means that they are learned from which
        words of the training texts keep the same company. A path or
        `WordVectors` is shared by clones; a plain mapping is copied by each.
    lexical : {"words", "ngrams"} or None
        Evidence beside the network's. "ngrams": a linear classifier on the
        words and word pairs of a text, and how much of a label's name a text
        has. They err elsewhere than the network does, and all together are
        better than either; names also tell of labels without any training
        text. "words": beside a pretrained encoder, a network of words as
        well, which is what the default encoder makes.
    encoder : {"attention", "gru", "rcnn"}, str or path
        The text encoder: a convolution or a BiGRU, and for every label an
        attention of its own; or the paper's BiGRU and convolutions with
        max-pooling. Anything else is a pretrained transformer: a folder, or
        a model's name on the Hugging Face hub, "bert-base-uncased" for
        instance. It needs the extra ``skhimatch[transformers]``.
    pooling : {"auto", "attention", "cls", "mean"}
        What is made of the states of a pretrained encoder: every label looks
        at them by an attention of its own, as with the default encoder; or
        one vector a text, the state of its first token (the paper) or the
        mean of all. "auto" is "attention", or, with `freeze="all"`, how the
        encoder was trained, or "cls".
    freeze : {"all", "embeddings"}, int or None
        What is not trained of a pretrained encoder: all of it, its
        embeddings, these and so many of the first layers, or nothing. With
        "all" each text is read only once, in whatever fit or search it comes
        up: encodings are kept in the folder named by the environment variable
        SKHIMATCH_CACHE, by default ``~/.cache/skhimatch``, up to 1 GiB.
    long_text : {"truncate", "stride"}
        What is longer than a pretrained encoder reads at once is cut off,
        with a warning, or read in several windows that are averaged.
    store_pretrained : bool
        Whether a pickle holds the weights of a pretrained encoder that is
        frozen as a whole. Without them it is smaller, and loads the encoder by
        its name. What was trained is always in it.
    propagation : {"gcn", "gated"} or None
        How text features spread over the hierarchy (eq 1).
    head : {"labelwise", "flat", "auto", "dot"}
        The classifier: a row of weights a label on that label's node; or one
        layer on all nodes (the paper's); "auto" is "flat" up to a few hundred
        labels. "dot" compares the text with what the label's own text says
        (the paper's for EURLEX57K): no weight belongs to a label, so that
        labels without a training text are scored as well, and `add_labels`
        can add some later. It needs words: `encoder` "attention" or "gru",
        no `propagation`.
    sampling : {"hierarchy", "random", "all"}
        The negatives of the matching loss.
    gamma, alpha, beta : float
        Margins of eq 7: gamma for random labels, beta * gamma for siblings,
        alpha * gamma for ancestors. Meant to satisfy alpha < beta.
    classification_loss : {"squared_hinge", "cross_entropy", "mean_cross_entropy"}
        The network's loss beside those two, summed over labels; the last one
        is the paper's, averaged over labels.
    lambda_joint, lambda_match : float
        Weights of the joint embedding loss (eq 5) and the matching loss
        (eq 6); 0 leaves a term out. With the paper's `lambda_joint=1` all
        labels can fall into one point early on, and matching stands still.
    max_epochs : int or "auto"
        Passes over the training texts; "auto" is 4, or 10 with more than
        200 labels, or as many as make a thousand steps, up to 20.
    batch_size : int
        Texts a step.
    learning_rate : float or "auto"
        Adam's, at its highest; "auto" is 0.004, and less beyond 1,500 steps: in proportion to one over the
        square root of their number; with a pretrained encoder 0.001.
    encoder_learning_rate : float
        The same for the weights of a pretrained encoder.
    schedule : {"one-cycle", "constant"}
        "one-cycle" warms up to `learning_rate`, then decays to zero.
    validation_fraction : float in [0, 1)
        Share of the texts held out to choose the best epoch; 0 holds out
        none and keeps the last epoch. Each label keeps a training text.
    patience : int or None
        Epochs in a row below the best micro-F1 + macro-F1 before stopping;
        None runs all of them. Of equal epochs the last one is kept.
    threshold : float, array-like of shape (L,), or "auto"
        Least probability of a predicted label, for all or by label; in a path, the one
        at which it may as well go on as stop. "auto" is the one with the best
        micro-F1 + macro-F1 on the held-out texts, or 0.5 without any.
    decoding : {"auto", "threshold", "path"}
        "path" predicts the label most likely to end the path, of those that
        ended one in training, and its ancestors; "auto" does so where all training targets are
        single paths, and takes the threshold otherwise.
    consistency : {"ancestors", "descendants"} or None
        Repair predictions that break the hierarchy by adding the missing
        ancestors, or by dropping what lacks one.
    device : str
        "auto" is an NVIDIA GPU where there is one, else the CPU.
    precision : {"auto", "float32", "bfloat16"}
        The numbers that training computes with; "auto" is bfloat16 on NVIDIA GPUs that have it, and with a
        pretrained encoder on CPUs that have it, else float32. Predictions are always made in float32.
    random_state : int, RandomState or None
        An int makes refits on a CPU equal bit by bit. torch's global
        generator is left as it was.
    callbacks : list of skorch callbacks, optional
        Run during `fit`, after the built-in ones.
    net_params : dict, optional
        Anything else: ``module__*`` entries go to the network (such as
        ``module__dropout``, ``module__node_dimension``, ``module__max_length``),
        ``criterion__*`` to `HiMatchLoss`, the others to ``skorch.NeuralNet``
        (such as ``optimizer__weight_decay``) or to `TrainingNet`: ``accumulation``,
        the parts that a batch is taken in where it does not fit into memory,
        and ``layer_decay``, by which the learning rate of a pretrained
        encoder falls from each layer to the one below.
    verbose : int
        1 prints a line an epoch, and shows a bar when it predicts thousands
        of texts.

    Attributes
    ----------
    classes_ : ndarray of L str
        The labels, in column order.
    hierarchy_ : LabelHierarchy
        Over these labels.
    tokenizer_ : transformer or None
        The fitted tokenizer; None where `X` came tokenised.
    vocabulary_ : Vocabulary
        The known words, of the training texts only.
    network_ : HiMatchNetwork or LabelTextNetwork
        The trained torch module.
    words_network_ : HiMatchNetwork or None
        The network of words beside a pretrained encoder's.
    lexical_ : LexicalClassifier or None
        The linear classifier beside it.
    label_names_ : LabelNames or None
        How much of the labels' names a text has.
    shortlist_size_ : int or None
        How many labels of a text the network looks at, the likeliest by its n-grams and their names; None
        is all.
    calibration_ : Calibration
        How the scores of all become one log-odds, as learned from the held-out texts.
    usual_scores_ : float32 ndarray of shape (N, L) or None
        What the scores of each of the N networks count relative to, where labels are many: each label's mean.
    decision_ : DecisionRule
        What turns probabilities into labels.
    label_embeddings_ : float32 ndarray of shape (L, d_phi)
        The labels' places in the joint space (eq 4), unit rows.
    validation_f1_ : MicroMacroF1 or None
        Of all evidence together on the held-out texts, which calibration and
        threshold were learned from.
    history_ : list of dict
        One record an epoch: losses, the network's own validation scores,
        docs per second.
    n_iter_ : int
        Epochs run.

    See Also
    --------
    as_hierarchy : The forms that a hierarchy may come in.
    WordTokenizer : The default tokenizer.

    References
    ----------
    Chen, Ma, Lin, Yan: Hierarchy-aware Label Semantics Matching Network for
    Hierarchical Text Classification. ACL 2021.

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
        "lexical": [StrOptions({"words", "ngrams"}), None],
        "encoder": [str, PathLike],
        "pooling": [StrOptions({"auto", "cls", "mean", "attention"})],
        "freeze": [StrOptions({"all", "embeddings"}), Interval(Integral, 0, None, closed="left"), None],
        "long_text": [StrOptions({"truncate", "stride"})],
        "store_pretrained": ["boolean"],
        "propagation": [StrOptions({"gcn", "gated"}), None],
        "head": [StrOptions({"auto", "flat", "labelwise", "dot"})],
        "sampling": [StrOptions({"hierarchy", "random", "all"})],
        "gamma": [Interval(Real, 0, None, closed="left")],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "beta": [Interval(Real, 0, None, closed="left")],
        "classification_loss": [StrOptions({"squared_hinge", "cross_entropy", "mean_cross_entropy"})],
        "lambda_joint": [Interval(Real, 0, None, closed="left")],
        "lambda_match": [Interval(Real, 0, None, closed="left")],
        "max_epochs": [Interval(Integral, 1, None, closed="left"), StrOptions({"auto"})],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "learning_rate": [Interval(Real, 0, None, closed="neither"), StrOptions({"auto"})],
        "encoder_learning_rate": [Interval(Real, 0, None, closed="neither")],
        "schedule": [StrOptions({"one-cycle", "constant"})],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "patience": [Interval(Integral, 1, None, closed="left"), None],
        "threshold": [Interval(Real, 0, 1, closed="both"), "array-like", StrOptions({"auto"})],
        "decoding": [StrOptions({"auto", "threshold", "path"})],
        "consistency": [StrOptions({"ancestors", "descendants"}), None],
        "device": [str, torch.device],
        "precision": [StrOptions({"auto", "float32", "bfloat16"})],
        "random_state": ["random_state"],
        "callbacks": [list, None],
        "net_params": [dict, None],
        "verbose": ["verbose"],
    }

    # Alive between calls of partial_fit, for the optimiser's memory.
    _training_nets: list[TrainingNet] | None = None

    def __init__(
        self,
        hierarchy: Any = None,
        *,
        tokenizer: Any = None,
        classes: Sequence[str] | None = None,
        label_texts: Mapping[str, str | Iterable[str]] | None = None,
        word_vectors: Any = None,
        lexical: str | None = "words",
        encoder: str | PathLike[str] = "attention",
        pooling: str = "auto",
        freeze: int | str | None = None,
        long_text: str = "truncate",
        store_pretrained: bool = True,
        propagation: str | None = None,
        head: str = "labelwise",
        sampling: str = "hierarchy",
        gamma: float = 0.2,
        alpha: float = 0.01,
        beta: float = 0.5,
        classification_loss: str = "squared_hinge",
        lambda_joint: float = 0.1,
        lambda_match: float = 1.0,
        max_epochs: int | str = "auto",
        batch_size: int = 32,
        learning_rate: float | str = "auto",
        encoder_learning_rate: float = 5e-5,
        schedule: str = "one-cycle",
        validation_fraction: float = 0.1,
        patience: int | None = 5,
        threshold: float | ArrayLike | str = "auto",
        decoding: str = "auto",
        consistency: str | None = None,
        device: str = "auto",
        precision: str = "auto",
        random_state: int | np.random.RandomState | None = None,
        callbacks: list[Any] | None = None,
        net_params: dict[str, Any] | None = None,
        verbose: int = 0,
    ) -> None:
        self.hierarchy = hierarchy
        self.tokenizer = tokenizer
        self.classes = classes
        self.label_texts = label_texts
        self.word_vectors = word_vectors
        self.lexical = lexical
        self.encoder = encoder
        self.pooling = pooling
        self.freeze = freeze
        self.long_text = long_text
        self.store_pretrained = store_pretrained
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
        self.encoder_learning_rate = encoder_learning_rate
        self.schedule = schedule
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.threshold = threshold
        self.decoding = decoding
        self.consistency = consistency
        self.device = device
        self.precision = precision
        self.random_state = random_state
        self.callbacks = callbacks
        self.net_params = net_params
        self.verbose = verbose

    # ------------------------------------------------------------------ fitting

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self,
        X: Any,
        y: Any,
        *,
        validation_data: tuple[Any, Any] | None = None,
        checkpoint: str | PathLike[str] | None = None,
    ) -> HiMatchClassifier:
        """Train on texts and their labels.

        Parameters
        ----------
        X : iterable of n str, iterable of n lists of str, or TokenSequences
            The texts. One without any known word is allowed.
        y : iterable of n iterables of str, indicator of shape (n, L), or DataFrame
            The labels of each text. A text without labels is allowed: it
            counts as a negative example of each.
        validation_data : (X, y), optional
            An official validation set; `validation_fraction` is then ignored. Where it has more texts than
            are needed, with tens of thousands of labels, a random part of it.
        checkpoint : path, optional
            A folder for what has been done so far: the n-gram classifiers and each epoch. A fit that was
            cut off goes on from there when it is called again with the same data and parameters, and ends
            as if it had not been. It needs an integer `random_state`.

        Returns
        -------
        HiMatchClassifier
            Itself.

        Raises
        ------
        ValueError, TypeError
            When texts, labels, hierarchy or parameters are not as described;
            nothing is fitted then.
        NonFiniteLossError
            When the loss becomes NaN before one epoch is complete.
        """
        texts = _check_texts(X)
        y = _reusable(y)
        hierarchy = self._resolve_hierarchy(y)
        encoded = targets.encode_targets(y, hierarchy, len(texts))
        draws = check_random_state(self.random_state)
        seed = draws.randint(np.iinfo(np.int32).max)
        # All that is said of the held-out texts is compared at once.
        most = max(FEWEST_HELD_OUT, HELD_OUT_NUMBERS // max(1, len(hierarchy)))
        if validation_data is not None:
            held_texts = _check_texts(validation_data[0])
            held_targets = targets.encode_targets(validation_data[1], hierarchy, len(held_texts))
            if len(held_texts) > most:
                rows = np.sort(np.random.RandomState(seed).permutation(len(held_texts))[:most])
                held_texts, held_targets = _pick(held_texts, rows), held_targets[rows]
        elif self.validation_fraction > 0:
            fraction = min(self.validation_fraction, most / len(texts))
            kept, held_out = targets.hold_out(encoded, fraction, np.random.RandomState(seed))
            held_texts, held_targets = _pick(texts, held_out), encoded[held_out]
            texts, encoded = _pick(texts, kept), encoded[kept]
        else:
            held_texts, held_targets = texts[:0], encoded[:0]

        checkpoints = None
        if checkpoint is not None:
            checkpoints = self._checkpoints(checkpoint, texts, encoded, held_texts, held_targets)
        fitted, evidence, sequences = self._start(texts, encoded, hierarchy, seed)
        sequences = read_by(evidence.network, sequences)
        held_sequences, held, rate = None, None, LEARNING_RATES[0]
        if len(held_texts):
            held_sequences = _sequences(
                held_texts, fitted["tokenizer_"], fitted["vocabulary_"], evidence.network
            )
            held_sequences = read_by(evidence.network, held_sequences)
            held = held_sequences, held_targets
            rate, evidence = evidence.best_learning_rate(
                sequences,
                encoded,
                held_sequences,
                held_targets,
                fitted["decision_"],
                seed=seed,
                checkpoints=checkpoints,
            )
        else:
            evidence = evidence.with_lexical(sequences, encoded, learning_rate=rate, seed=seed)
        for network in evidence.networks[:-1]:
            if self.verbose:
                print("the network of words, beside the pretrained encoder's:", flush=True)
            of_words = self._as_of_words()
            of_words._train(network, evidence, fitted, sequences, encoded, held, checkpoints)
            if self.verbose:
                print("the pretrained encoder's:", flush=True)
        history = self._train(evidence.network, evidence, fitted, sequences, encoded, held, checkpoints)
        if held_sequences is not None:
            evidence = self._learn_from_held_out(fitted, evidence, held_sequences, held_targets)
            if validation_data is None:
                # What was held out has served its purpose, and the lexical classifier learns in seconds.
                everything = TokenSequences.concatenated([words_of(sequences), words_of(held_sequences)])
                all_targets = sp.vstack([encoded, held_targets], format="csr")
                evidence = evidence.with_lexical(everything, all_targets, learning_rate=rate, seed=seed)
        self._finish(fitted, evidence, history, y)
        self._training_nets = None
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X: Any, y: Any, classes: Sequence[str] | None = None) -> HiMatchClassifier:
        """Train one more epoch, on these texts only.

        The first call fixes vocabulary, labels and decoding; the learning
        rate stays constant and nothing is held out. After `fit` it goes on
        from the fitted weights.

        Parameters
        ----------
        X, y
            As in `fit`.
        classes : sequence of str, optional
            All labels, in the first call, where neither `hierarchy` nor the
            parameter `classes` names them.

        Returns
        -------
        HiMatchClassifier
            Itself.

        Raises
        ------
        NonFiniteLossError
            When the loss becomes NaN. After any error the weights are as
            before the call.
        """
        texts = _check_texts(X)
        y = _reusable(y)
        if hasattr(self, "network_"):
            encoded = targets.encode_targets(y, self.hierarchy_, len(texts))
            hierarchy, evidence, fitted = self.hierarchy_, self._evidence(), {"_seed": self._seed}
            history = self.history_
            sequences = _sequences(texts, self.tokenizer_, self.vocabulary_, evidence.network)
        else:
            hierarchy = self._resolve_hierarchy(y, classes)
            encoded = targets.encode_targets(y, hierarchy, len(texts))
            seed = check_random_state(self.random_state).randint(np.iinfo(np.int32).max)
            fitted, evidence, sequences = self._start(texts, encoded, hierarchy, seed)
            self._training_nets = None
            history = []
        networks = evidence.networks
        sequences = read_by(evidence.network, sequences)
        if self._training_nets is None:
            beside = [self._as_of_words()._training_net(network, hierarchy) for network in networks[:-1]]
            self._training_nets = [*beside, self._training_net(evidence.network, hierarchy)]
        before = [copy.deepcopy(network.state_dict()) for network in networks]
        # Each epoch draws anew, and yet the same in every run.
        seed = fitted["_seed"] + len(history)
        evidence = evidence.with_lexical_epoch(sequences, encoded, seed=seed)
        try:
            for network, net in zip(networks, self._training_nets, strict=True):
                shortlist = evidence.training_shortlist(network, sequences, encoded, hierarchy, seed=seed)
                dataset = TextDataset(read_by(network, sequences), encoded, shortlist)
                epoch = train_one_epoch(net, dataset, seed=seed)
        except BaseException:
            for network, state in zip(networks, before, strict=True):
                network.load_state_dict(state)
            self._training_nets = None
            raise
        self._finish(fitted, evidence, [*history, epoch | {"epoch": len(history) + 1}], y)
        return self

    def add_labels(
        self,
        edges: Iterable[tuple[str, str]] = (),
        label_texts: Mapping[str, str | Iterable[str]] | None = None,
    ) -> HiMatchClassifier:
        """Add labels to a fitted classifier with the dot head, without training.

        The new labels are scored by their texts, or names: `head="dot"` has no weights of a label.
        They come behind the others in `classes_`, sorted.

        Parameters
        ----------
        edges : iterable of (parent, child)
            Where the new labels belong; parents may be new as well. Edges between known labels are
            allowed. A new label without an edge is a root.
        label_texts : mapping of str to str or iterable of str, optional
            Descriptions or alternative names of new labels, in place of their names. A label without any
            word of the training texts is scored by its parents and children alone.

        Returns
        -------
        HiMatchClassifier
            Itself.

        Raises
        ------
        ValueError
            When the head is another one, there is no new label, a text is given for a known one, the edges
            form a cycle, or nothing is known of a label: no word and no edge. All is as before then.

        Examples
        --------
        >>> from skhimatch import HiMatchClassifier
        >>> texts = ["a quark and a gluon", "the cell divides", "a serve and a volley"] * 8
        >>> label_sets = [{"particle physics"}, {"cell biology"}, {"tennis"}] * 8
        >>> clf = HiMatchClassifier(head="dot", max_epochs=2, random_state=0).fit(texts, label_sets)
        >>> clf.add_labels(label_texts={"mitosis": "how a cell divides"}).classes_.tolist()
        ['cell biology', 'particle physics', 'tennis', 'mitosis']
        >>> clf.predict_proba(["the cell divides"]).shape
        (1, 4)
        """
        network = self._network()
        if not isinstance(network, LabelTextNetwork):
            raise ValueError(
                "add_labels needs head='dot', where no weight belongs to a label; this classifier was "
                f"fitted with head={self.head!r}: fit another one, with the larger hierarchy."
            )
        before, known = self.hierarchy_, set(self.hierarchy_.labels)
        edges, texts_of = list(edges), check_label_texts(label_texts)
        for label in texts_of:
            if label in known:
                raise ValueError(
                    f"label_texts has the label {label!r}, which is known already: leave it out."
                )
        # Checks the edges, too.
        named = LabelHierarchy(edges).labels if edges else ()
        others = sorted({*named, *texts_of} - known)
        if not others:
            raise ValueError("There is no new label: neither `edges` nor `label_texts` names one.")
        labels = [*before.labels, *others]
        pairs = [(before.labels[parent], before.labels[child]) for parent, child in before.edges.tolist()]
        flat = before.is_flat and not edges
        hierarchy = LabelHierarchy.flat(labels) if flat else LabelHierarchy([*pairs, *edges], labels)
        words = label_word_ids(others, texts_of, self.vocabulary_)
        for label, of_label in zip(others, words, strict=True):
            if not of_label and label not in named:
                raise ValueError(
                    f"Nothing is known of the label {label!r}: no training text has a word of its text, "
                    "and no edge says where it belongs. Describe it in `label_texts`, or give it a parent."
                )
        extended = network.with_labels(before, hierarchy, words)
        fitted = {
            "hierarchy_": hierarchy,
            "classes_": np.asarray(hierarchy.labels, dtype=object),
            "network_": extended,
            "network_settings_": self.network_settings_ | {"label_words": extended.label_words.tolist()},
            "label_embeddings_": embed_labels(extended),
            "decision_": self.decision_.with_labels(hierarchy),
        }
        if self.usual_scores_ is not None:
            unknown = np.full((1, len(others)), self.usual_scores_.mean(), dtype=np.float32)
            fitted["usual_scores_"] = np.concatenate([self.usual_scores_, unknown], axis=1)
        if self.lexical_ is not None:
            fitted["lexical_"] = self.lexical_.with_labels(len(hierarchy))
            fitted["label_names_"] = self.label_names_.with_labels(hierarchy, self.vocabulary_, texts_of)
        self.__dict__.update(fitted)
        self._training_nets = None
        return self

    # --------------------------------------------------------------- predicting

    def decision_function(self, X: Any) -> NDArray[np.float32]:
        """Return the log-odds of all labels.

        Parameters
        ----------
        X : texts or TokenSequences
            As in `fit`.

        Returns
        -------
        float32 ndarray of shape (n, L)
        """
        sequences = self._sequences(X)
        log_odds = np.empty((len(sequences), len(self.classes_)), dtype=np.float32)
        done = 0
        for block in self._log_odds(sequences):
            log_odds[done : done + len(block)] = block
            done += len(block)
        return log_odds

    def predict_proba(self, X: Any) -> NDArray[np.float32]:
        """Return the probability of each label, which do not sum to one.

        Parameters
        ----------
        X : texts or TokenSequences
            As in `fit`.

        Returns
        -------
        float32 ndarray of shape (n, L), in (0, 1)
            See `iter_predict_proba` and `predict_topk` for what does not fit into memory.
        """
        return as_probabilities(self.decision_function(X))

    def iter_predict_proba(self, X: Any) -> Iterator[NDArray[np.float32]]:
        """Yield the probabilities of `predict_proba`, a block of texts at a time.

        Parameters
        ----------
        X : texts or TokenSequences
            As in `fit`.

        Returns
        -------
        iterator of float32 ndarrays of shape (rows, L), in (0, 1)
            In the order of the texts, some 128 MiB at once.
        """
        # Not "yield": what is wrong with X is to be said at once.
        return (as_probabilities(log_odds) for log_odds in self._log_odds(self._sequences(X)))

    def predict_topk(self, X: Any, k: int) -> TopLabels:
        """Return the k most probable labels of each text, the most probable first.

        Parameters
        ----------
        X : texts or TokenSequences
            As in `fit`.
        k : int
            From 1 to L.

        Returns
        -------
        TopLabels
            ``(labels, probabilities)``, both of shape (n, k). Of equally probable labels those of the
            first columns come first.

        Raises
        ------
        ValueError
            When there are not so many labels.
        """
        check_is_fitted(self)
        if not isinstance(k, Integral) or not 1 <= k <= len(self.classes_):
            raise ValueError(f"k is {k!r}; ask for 1 to {len(self.classes_)} labels, as many as there are.")
        columns, probabilities = [], []
        for block in self.iter_predict_proba(X):
            columns.append(highest(block, k))
            probabilities.append(np.take_along_axis(block, columns[-1], axis=1))
        return TopLabels(self.classes_[np.concatenate(columns)], np.concatenate(probabilities))

    def predict(self, X: Any) -> NDArray[np.int64] | sp.csr_array:
        """Return the predicted labels as an indicator.

        Parameters
        ----------
        X : texts or TokenSequences
            As in `fit`.

        Returns
        -------
        int64 ndarray or csr_array of shape (n, L)
            Sparse where the classifier was taught with sparse targets; no more than a block of
            probabilities is then in memory at once.
            Columns are `classes_`.
        """
        in_blocks_of_texts = self.iter_predict_proba(X)
        decide = self._decision()
        blocks = [decide(probabilities) for probabilities in in_blocks_of_texts]
        indicator = sp.vstack(blocks, format="csr").astype(np.int64)
        return indicator if self.sparse_output_ else indicator.toarray()

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Return the texts' places in the joint space (eq 3).

        Parameters
        ----------
        X : texts or TokenSequences
            As in `fit`.

        Returns
        -------
        float32 ndarray of shape (n, d_phi)
            Unit rows, comparable with `label_embeddings_`.
        """
        network, sequences = self._network(), self._sequences(X)
        blocks = in_blocks(sequences, self.label_embeddings_.shape[1], progress=bool(self.verbose))
        return np.concatenate([embed_texts(network, block) for block in blocks])

    def to_label_sets(self, indicator: Any) -> list[set[str]]:
        """Turn an indicator, as `predict` returns it, into label sets.

        Parameters
        ----------
        indicator : array or sparse array of shape (n, L)

        Returns
        -------
        list of n set of str
        """
        check_is_fitted(self)
        return targets.to_label_sets(indicator, list(self.classes_))

    def score(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> float:
        """Return the subset accuracy: the share of texts with exactly the right labels.

        Parameters
        ----------
        X, y
            As in `fit`.
        sample_weight : array-like of shape (n,), optional
            Weights of the texts.

        Returns
        -------
        float in [0, 1]
        """
        check_is_fitted(self)
        texts = _check_texts(X)
        expected = targets.encode_targets(y, self.hierarchy_, len(texts))
        predicted = sp.csr_array(self.predict(texts))
        return float(accuracy_score(expected.astype(np.int64), predicted, sample_weight=sample_weight))

    # -------------------------------------------------------------- persistence

    def save(self, folder: str | PathLike[str]) -> None:
        """Write the fitted classifier to a folder, without pickle.

        Parameters
        ----------
        folder : path
            Created, or replaced if it holds a saved classifier.
        """
        check_is_fitted(self)
        persistence.save(self, folder)

    @classmethod
    def load(cls, folder: str | PathLike[str]) -> HiMatchClassifier:
        """Read a classifier that `save` wrote.

        Parameters
        ----------
        folder : path

        Returns
        -------
        HiMatchClassifier
            Fitted; it predicts as before, without the word vectors' file.
        """
        return persistence.load(cls, folder)

    # ------------------------------------------------------------------ private

    def _resolve_hierarchy(self, y: Any, classes: Sequence[str] | None = None) -> LabelHierarchy:
        """Return the hierarchy over the classes, in column order."""
        classes = self.classes if self.classes is not None else classes
        if self.hierarchy is not None:
            hierarchy = as_hierarchy(self.hierarchy)
            return hierarchy if classes is None else hierarchy.restrict([str(name) for name in classes])
        if classes is None:
            classes = targets.label_names(y)
        return LabelHierarchy.flat([str(name) for name in classes])

    def _start(
        self, texts: Any, encoded: sp.csr_array, hierarchy: LabelHierarchy, seed: int
    ) -> tuple[dict[str, Any], Evidence, Texts]:
        """Settle what comes before the first step (vocabulary, network, decision) and tokenise the texts."""
        device = resolve_device(self.device)
        if not len(hierarchy):
            raise ValueError("There is no label: y is empty and neither `hierarchy` nor `classes` names one.")
        label_texts = check_label_texts(self.label_texts)
        settings, pretrained = self._network_settings(), None
        if self._pretrained:
            with seeded_construction(seed):
                pretrained = self._load_pretrained(settings.pop("max_length", None))
        tokenizer, sequences = None, texts
        if not isinstance(texts, Texts):
            tokenizer = self._blank_tokenizer()
            sequences = tokenizer.fit_transform(texts)
        sequences = _as_read_by(pretrained, sequences)
        words = words_of(sequences)
        start: dict[str, Any] = {
            "label_texts": label_texts,
            "criterion": self._criterion(hierarchy),
            "seed": seed,
            "device": device,
        }
        with_vectors = start | {"word_vectors": self.word_vectors}
        networks: list[Network] = []
        words_settings = None
        if pretrained is None or not isinstance(sequences, SubwordSequences):
            settings = {"encoder": self.encoder} | settings
            network, settings = network_of_words(hierarchy, settings, words, encoded, **with_vectors)
            networks.append(network)
        else:
            if self.lexical == "words":
                usual = self._as_of_words()
                words_settings = {"encoder": usual.encoder} | usual._network_settings()
                network, words_settings = network_of_words(
                    hierarchy, words_settings, words, encoded, **with_vectors
                )
                networks.append(network)
            networks.append(network_on(pretrained, hierarchy, settings, sequences, encoded, **start))
        fitted = {
            "tokenizer_": tokenizer,
            "vocabulary_": words.vocabulary,
            "hierarchy_": hierarchy,
            "classes_": np.asarray(hierarchy.labels, dtype=object),
            "network_settings_": settings,
            "words_network_settings_": words_settings,
            "decision_": DecisionRule.learn(
                encoded,
                hierarchy,
                threshold=0.5 if self._tuned else check_threshold(self.threshold, hierarchy.labels),
                decoding=self.decoding,
                consistency=self.consistency,
            ),
            "validation_f1_": None,
            "_seed": seed,
        }
        evidence = Evidence.untrained(
            tuple(network.to(device) for network in networks),
            sequences,
            encoded,
            names=None if self.lexical is None else LabelNames.learn(words, hierarchy, label_texts),
            margins=self.classification_loss == "squared_hinge",
        )
        return fitted, evidence, sequences

    def _network_settings(self) -> dict[str, Any]:
        """Return what a network is built from, but for its encoder."""
        return {"propagation": self.propagation, "head": self.head} | self._split_net_params().module

    @property
    def _pretrained(self) -> bool:
        """Whether the encoder is a pretrained one, by its name."""
        return str(self.encoder) not in ENCODERS

    def _load_pretrained(self, max_length: int | None) -> TransformerEncoder:
        if self.word_vectors is not None and self.lexical != "words":
            raise ValueError(
                f"word_vectors are for a network of words; {str(self.encoder)!r} is pretrained, and "
                f"lexical={self.lexical!r} has none beside it: leave word_vectors=None, or lexical='words'."
            )
        return TransformerEncoder(
            self.encoder,
            pooling=self.pooling,
            freeze=self.freeze,
            long_text=self.long_text,
            max_length=max_length,
            stored=self.store_pretrained,
        )

    def _blank_tokenizer(self) -> Any:
        """Return the tokenizer that `fit` is to learn, of which the parameters are settled."""
        tokenizer = self.tokenizer
        if self._pretrained and not isinstance(tokenizer, SubwordTokenizer):
            return SubwordTokenizer(self.encoder, words=tokenizer)
        return WordTokenizer() if tokenizer is None else clone(tokenizer)

    def _checkpoints(self, folder: str | PathLike[str], *data: Any) -> Checkpoints:
        """Open the folder of a fit, which is told from others by its data and parameters."""
        if not isinstance(self.random_state, Integral):
            raise ValueError(
                "checkpoint needs an integer random_state, by which a second fit is the same as the first; "
                f"it is {self.random_state!r}."
            )
        shown = ("callbacks", "verbose")
        parameters = {name: value for name, value in self.get_params(deep=False).items() if name not in shown}
        return Checkpoints(folder, skhimatch.__version__, parameters, *data)

    def _as_of_words(self) -> HiMatchClassifier:
        """Return what trains the network of words beside a pretrained one: by default, but for the losses."""
        shared = {name: getattr(self, name) for name in SHARED_WITH_WORDS}
        return HiMatchClassifier(**shared)

    def _train(
        self,
        network: Network,
        evidence: Evidence,
        fitted: dict[str, Any],
        texts: Texts,
        targets: sp.csr_array,
        held: tuple[Texts, sp.csr_array] | None,
        checkpoints: Checkpoints | None,
    ) -> list[dict[str, Any]]:
        """Train one of the networks by this classifier's parameters, and return its history."""
        hierarchy, seed, device = fitted["hierarchy_"], fitted["_seed"], network.device
        validation = None
        if held is not None:
            held_texts = read_by(network, held[0])
            fixed = evidence.shortlist(network, held[0])
            validation = TextDataset(held_texts, held[1], None if fixed is None else FixedShortlist(fixed))
        shortlist = evidence.training_shortlist(network, texts, targets, hierarchy, seed=seed)
        epochs = self._epochs(*targets.shape)
        return train(
            network,
            self._criterion(hierarchy),
            TextDataset(read_by(network, texts), targets, shortlist),
            validation,
            self._training_settings(device, epochs, epochs * -(-len(texts) // self.batch_size)),
            decide=fitted["decision_"],
            seed=seed,
            checkpoint=None if checkpoints is None else checkpoints.epochs(evidence.networks.index(network)),
        )

    def _training_net(self, network: Network, hierarchy: LabelHierarchy) -> TrainingNet:
        """Return what trains one of the networks an epoch at a time."""
        settings = self._training_settings(network.device, 1, 1)
        return build_training_net(network, self._criterion(hierarchy), settings)

    def _training_settings(self, device: torch.device, epochs: int, steps: int) -> TrainingSettings:
        return TrainingSettings(
            max_epochs=epochs,
            batch_size=self.batch_size,
            learning_rate=self._learning_rate(steps),
            encoder_learning_rate=self.encoder_learning_rate,
            schedule=self.schedule,
            patience=self.patience,
            device=device,
            precision=resolve_precision(self.precision, device, self._pretrained),
            callbacks=self.callbacks or [],
            net_params=self._split_net_params().net,
            verbose=self.verbose,
        )

    def _epochs(self, n_texts: int, n_labels: int) -> int:
        if self.max_epochs != "auto":
            return int(self.max_epochs)
        fewest = FEWEST_EPOCHS if n_labels <= MANY_LABELS else FEWEST_EPOCHS_OF_MANY_LABELS
        return min(MOST_EPOCHS, max(fewest, -(-FEWEST_STEPS // -(-n_texts // self.batch_size))))

    def _learning_rate(self, n_steps: int) -> float:
        if self.learning_rate != "auto":
            return float(self.learning_rate)
        if self._pretrained:
            return LEARNING_RATE_ON_PRETRAINED
        return USUAL_LEARNING_RATE * min(1.0, (USUAL_STEPS / n_steps) ** 0.5)

    @property
    def _tuned(self) -> bool:
        """Whether the threshold is to be found on held-out texts."""
        return isinstance(self.threshold, str)

    def _learn_from_held_out(
        self, fitted: dict[str, Any], evidence: Evidence, texts: Texts, targets: sp.csr_array
    ) -> Evidence:
        """Learn calibration and threshold that serve these texts best."""
        scores = evidence.scores(texts)
        # A network alone that is trained for log-odds has them already.
        if evidence.lexical is not None or self.classification_loss == "squared_hinge":
            evidence = evidence.calibrated(scores, targets)
        probabilities = as_probabilities(evidence.combined(scores))
        if self._tuned:
            fitted["decision_"] = fitted["decision_"].tuned(probabilities, targets)
        scored = fitted["validation_f1_"] = micro_macro_f1(targets, fitted["decision_"](probabilities))
        if self.verbose:
            print(
                f"all in all | validation F1 {scored.micro:.3f} micro, {scored.macro:.3f} macro", flush=True
            )
        return evidence

    def _criterion(self, hierarchy: LabelHierarchy) -> HiMatchLoss:
        return HiMatchLoss(
            hierarchy,
            gamma=self.gamma,
            alpha=self.alpha,
            beta=self.beta,
            sampling=self.sampling,
            lambda_joint=self.lambda_joint,
            lambda_match=self.lambda_match,
            classification_loss=self.classification_loss,
        )

    def _split_net_params(self) -> NetParams:
        return split_net_params(self.net_params, self.encoder)

    def _finish(
        self, fitted: dict[str, Any], evidence: Evidence, history: list[dict[str, Any]], y: Any
    ) -> None:
        """Take on all fitted attributes at once: an error before leaves none behind."""
        fitted = fitted | {
            "history_": history,
            "n_iter_": len(history),
            "network_": evidence.network,
            "words_network_": evidence.networks[0] if len(evidence.networks) > 1 else None,
            "lexical_": evidence.lexical,
            "label_names_": evidence.names,
            "shortlist_size_": evidence.shortlist_size,
            "calibration_": evidence.calibration,
            "usual_scores_": evidence.usual_scores,
            "label_embeddings_": embed_labels(evidence.network),
            "sparse_output_": sp.issparse(y),
        }
        self.__dict__.update(fitted)

    def _evidence(self) -> Evidence:
        networks = (self.words_network_, self._network())
        return Evidence(
            tuple(network for network in networks if network is not None),
            self.lexical_,
            self.label_names_,
            self.shortlist_size_,
            self.calibration_,
            self.usual_scores_,
        )

    def _log_odds(self, sequences: Texts) -> Iterator[NDArray[np.float32]]:
        return self._evidence().log_odds(sequences, progress=bool(self.verbose))

    def _network(self) -> Network:
        """Return the fitted network on the device that this machine has for it."""
        check_is_fitted(self)
        device = resolve_device(self.device)
        for network in (self.network_, self.words_network_):
            if network is not None and network.device != device:
                network.to(device)
        return self.network_

    def _decision(self) -> DecisionRule:
        """Return the fitted rule with the threshold and consistency that are set now."""
        threshold = self.decision_.threshold
        if not self._tuned:
            threshold = check_threshold(self.threshold, self.hierarchy_.labels)
        return replace(self.decision_, threshold=threshold, consistency=self.consistency)

    def _sequences(self, X: Any) -> Texts:
        check_is_fitted(self)
        return _sequences(_check_texts(X), self.tokenizer_, self.vocabulary_, self.network_)

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        # The optimiser's memory is for going on in this process, at twice the network's size.
        state.pop("_training_nets", None)
        for name in ("network_", "words_network_"):
            network = state.get(name)
            if network is not None and network.device.type != "cpu":
                state[name] = copy.deepcopy(network).cpu()
        return state

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "network_")

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.classifier_tags.multi_label = True
        tags.target_tags.multi_output = True
        tags.target_tags.single_output = False
        tags.transformer_tags.preserves_dtype = []
        return tags


def _check_texts(X: Any) -> Any:
    """Return tokenised texts as they are, anything else as a list of checked texts."""
    if isinstance(X, Texts):
        if not len(X):
            raise ValueError("Found 0 samples in X while a minimum of 1 is required.")
        return X
    return check_texts(X)


def _reusable(y: Any) -> Any:
    """Return a generator's label sets as a list: both their names and their rows are wanted."""
    return list(y) if isinstance(y, Iterator) else y


def _pick(texts: Any, rows: NDArray[np.int64]) -> Any:
    """Index a list of texts or tokenised ones."""
    return texts[rows] if isinstance(texts, Texts) else [texts[row] for row in rows]


def _sequences(texts: Any, tokenizer: Any, vocabulary: Vocabulary, network: Network) -> Texts:
    """Tokenise checked texts; refuse ids of another vocabulary, and texts where ids were taught."""
    if not isinstance(texts, Texts):
        if tokenizer is None:
            raise ValueError(
                "The classifier was fitted on TokenSequences and got raw texts: tokenize them with the same "
                "fitted tokenizer, or put both in a Pipeline."
            )
        texts = tokenizer.transform(texts)
    encoder = network.text_encoder
    texts = _as_read_by(encoder if isinstance(encoder, TransformerEncoder) else None, texts)
    if words_of(texts).vocabulary != vocabulary:
        raise ValueError(
            "X are TokenSequences over another vocabulary than in fit: use the tokenizer fitted then."
        )
    return texts


def _as_read_by(pretrained: TransformerEncoder | None, texts: Texts) -> Texts:
    """Return the words of texts, or for a pretrained encoder its subwords; say how many texts it cuts off."""
    if pretrained is None:
        return words_of(texts)
    if not isinstance(texts, SubwordSequences) or texts.subwords.vocabulary != pretrained.vocabulary:
        raise ValueError(
            f"X are not in the subwords of the encoder {pretrained.name!r}: tokenize with "
            f"SubwordTokenizer({pretrained.name!r}), or pass the texts themselves."
        )
    cut = int((texts.lengths > pretrained.room).sum())
    if cut and pretrained.long_text == "truncate":
        warnings.warn(
            f"{cut:,} of {len(texts):,} texts are longer than the {pretrained.room:,} subwords that "
            f"{pretrained.name!r} reads at once and count only so far; long_text='stride' reads them all.",
            UserWarning,
            stacklevel=4,
        )
    return texts
