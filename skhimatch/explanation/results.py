"""What an explanation holds: typed, frozen, and shown as plain text or HTML."""

from __future__ import annotations

from dataclasses import dataclass

from skhimatch.explanation.html import html_of_explanation, html_of_label
from skhimatch.explanation.plain_text import text_of_explanation, text_of_label

__all__ = [
    "AttendedWord",
    "DecisionChange",
    "Evidence",
    "ExplainedLabel",
    "Explanation",
    "LabelExplanation",
    "LabelProbability",
    "NGramContribution",
    "NGramWeight",
    "Neighbour",
    "ScoredText",
    "Unread",
    "WordEffect",
]


@dataclass(frozen=True)
class WordEffect:
    """How much a word of a text counts for a label.

    Attributes
    ----------
    word : str
        As the tokenizer returns it.
    effect : float
        By how much the log-odds of the label fall if all occurrences of the word are left out.
    places : tuple of (int, int)
        Start and end of each occurrence in the text.
    """

    word: str
    effect: float
    places: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class NGramContribution:
    """What an n-gram of a text adds to the log-odds of a label.

    Attributes
    ----------
    ngram : str
        One or two words; or characters, where a space is an end of a word.
    contribution : float
        Its weight times its value in the text, times the stacking weight.
    """

    ngram: str
    contribution: float


@dataclass(frozen=True)
class AttendedWord:
    """How much a label attends to a word of a text.

    Attributes
    ----------
    word : str
        The word; for some pretrained encoders a subword.
    weight : float
        The weights of all states sum to 1. Those of special tokens of a pretrained encoder, and of signs
        between words, are not listed.
    """

    word: str
    weight: float


@dataclass(frozen=True)
class LabelProbability:
    """A label and its probability.

    Attributes
    ----------
    label : str
    probability : float
    """

    label: str
    probability: float


@dataclass(frozen=True)
class Evidence:
    """What one source of evidence says of a label.

    Attributes
    ----------
    source : str
        A scorer: "ngrams", "characters", "names", "words", "pretrained" or "meaning", see `Ensemble`.
    score : float
        Its score of the label.
    contribution : float
        What it adds to the log-odds of the label. If paths are chosen: to the difference of the likeliest
        path with the label and the likeliest one without it, so scores of other labels count as well.
    scored : bool
        False if the label is not on the shortlist of the text, so that this network does not score it.
    ngrams : tuple of NGramContribution
        For n-grams of words and of characters: all that the text has, the strongest first. Together with
        `bias` they sum to the contribution.
    bias : float
        For n-grams: the part of the contribution that no text changes.
    attention : tuple of AttendedWord
        For a network whose labels attend to words: the words, the most attended first.
    name_words : tuple of str
        For "names": the words of the text that are in the name of the label.
    """

    source: str
    score: float
    contribution: float
    scored: bool = True
    ngrams: tuple[NGramContribution, ...] = ()
    bias: float = 0.0
    attention: tuple[AttendedWord, ...] = ()
    name_words: tuple[str, ...] = ()


@dataclass(frozen=True)
class ExplainedLabel:
    """Why a text has the probability that it has for a label.

    Attributes
    ----------
    label : str
    probability : float
    log_odds : float
        log(p / (1 - p)).
    predicted : bool
    threshold : float or None
        The lowest probability at which the label is predicted; None if there are no thresholds, because
        paths are predicted, or a given number of labels.
    words : tuple of WordEffect
        The different words of the text, measured by leaving them out. Those that speak for the label first.
    evidence : tuple of Evidence
        What each source adds.
    constant : float
        What is added whatever the text.
    adjustment : float
        What is not linear: the parents' limits, other paths than the two that are compared, a calibration.
        Contributions, constant and adjustment sum to the log-odds.
    rival : str or None
        If paths are chosen: the last label of the likeliest path without this label, with which it is
        compared. None if labels are not chosen by paths, or if no label at all is likelier.
    siblings : tuple of LabelProbability
        The labels with the same parents, the most probable first, and the label itself.
    distance : float or None
        The distance from the text in the joint space; None if the space is not trained.
    changed_by : tuple of str
        Without these words the label would not be predicted, or would be if it is not. Empty if up to ten
        words together change nothing.
    """

    label: str
    probability: float
    log_odds: float
    predicted: bool
    threshold: float | None
    words: tuple[WordEffect, ...]
    evidence: tuple[Evidence, ...]
    constant: float
    adjustment: float
    rival: str | None
    siblings: tuple[LabelProbability, ...]
    distance: float | None
    changed_by: tuple[str, ...]


@dataclass(frozen=True)
class Unread:
    """A part at the end of a text that some sources do not read.

    Attributes
    ----------
    sources : tuple of str
        The sources, as in `Evidence`.
    n_read, n_tokens : int
        How many tokens they read, and how many there are.
    unit : {"words", "subwords"}
        The kind of tokens.
    start : int or None
        Where the part starts in the text, if it is known.
    """

    sources: tuple[str, ...]
    n_read: int
    n_tokens: int
    unit: str
    start: int | None


@dataclass(frozen=True)
class DecisionChange:
    """A word without which other labels are predicted.

    Attributes
    ----------
    word : str
    lost, gained : tuple of str
        The labels that are not predicted any more, and those that are predicted instead.
    """

    word: str
    lost: tuple[str, ...]
    gained: tuple[str, ...]


@dataclass(frozen=True, repr=False)
class Explanation:
    """Why a classifier predicts the labels of a text.

    Attributes
    ----------
    text : str
        The text; tokens are joined by spaces.
    predicted : tuple of str
        The predicted labels, from the roots down.
    labels : tuple of ExplainedLabel
        The predicted labels, and some of the likeliest others; or those that were asked for.
    changes : tuple of DecisionChange
        Single words without which other labels are predicted.
    n_words : int
        The number of words in the text.
    unread : tuple of Unread
        What is not read, by which sources.
    """

    text: str
    predicted: tuple[str, ...]
    labels: tuple[ExplainedLabel, ...]
    changes: tuple[DecisionChange, ...]
    n_words: int
    unread: tuple[Unread, ...]

    def __getitem__(self, label: str) -> ExplainedLabel:
        """Return the explanation of a label; a KeyError says which ones there are."""
        for explained in self.labels:
            if explained.label == label:
                return explained
        raise KeyError(
            f"{label!r} is not explained here, only {', '.join(repr(part.label) for part in self.labels)}: "
            f"ask for it by explain(text, labels=[{label!r}])."
        )

    def __repr__(self) -> str:
        return text_of_explanation(self)

    def to_html(self) -> str:
        """Return a self-contained piece of HTML, without scripts.

        Returns
        -------
        str
            One ``div`` element.
        """
        return html_of_explanation(self)

    def _repr_html_(self) -> str:
        return self.to_html()


@dataclass(frozen=True)
class NGramWeight:
    """How strongly an n-gram speaks for a label.

    Attributes
    ----------
    ngram : str
        One or two words; or characters, where a space is an end of a word.
    weight : float
        The weight of the n-gram times its inverse document frequency. What it adds in a text is proportional
        to this.
    """

    ngram: str
    weight: float


@dataclass(frozen=True)
class Neighbour:
    """A label that is similar to another one.

    Attributes
    ----------
    label : str
    similarity : float
        The cosine, at most 1.
    """

    label: str
    similarity: float


@dataclass(frozen=True)
class ScoredText:
    """A text and the probability of a label.

    Attributes
    ----------
    position : int
        Which of the given texts it is.
    text : str
        The text; tokens are joined by spaces.
    probability : float
    predicted : bool
    """

    position: int
    text: str
    probability: float
    predicted: bool


@dataclass(frozen=True, repr=False)
class LabelExplanation:
    """What a classifier knows of a label.

    Attributes
    ----------
    label : str
    level : int
        1 for a root.
    parents, children, siblings : tuple of str
        Its place in the hierarchy.
    n_texts : float
        The number of training texts with the label, or the sum of their weights. Held-out texts are not
        counted.
    ngrams, characters : tuple of NGramWeight
        The n-grams of words and of characters that speak most for the label, the strongest first.
    opposing_ngrams : tuple of NGramWeight
        The n-grams of words that speak most against it, the strongest first.
    neighbours : tuple of Neighbour
        The most similar labels.
    compared_by : {"joint space", "n-grams", "network"} or None
        What the similarity is that of: points in the joint space; if it is not trained, weights of the
        n-grams, or of the network if there are no n-grams. None if there is nothing to compare.
    typical : tuple of ScoredText
        Of the given texts, those with the label that have the highest probability.
    highest_false : tuple of ScoredText
        Those without the label that have the highest probability.
    lowest_true : tuple of ScoredText
        Those with the label that have the lowest probability.
    """

    label: str
    level: int
    parents: tuple[str, ...]
    children: tuple[str, ...]
    siblings: tuple[str, ...]
    n_texts: float
    ngrams: tuple[NGramWeight, ...]
    opposing_ngrams: tuple[NGramWeight, ...]
    characters: tuple[NGramWeight, ...]
    neighbours: tuple[Neighbour, ...]
    compared_by: str | None
    typical: tuple[ScoredText, ...] = ()
    highest_false: tuple[ScoredText, ...] = ()
    lowest_true: tuple[ScoredText, ...] = ()

    def __repr__(self) -> str:
        return text_of_label(self)

    def to_html(self) -> str:
        """Return a self-contained piece of HTML, without scripts.

        Returns
        -------
        str
            One ``div`` element.
        """
        return html_of_label(self)

    def _repr_html_(self) -> str:
        return self.to_html()
