"""Texts become pieces of words, as a pretrained encoder knows them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from os import PathLike
from typing import Any

from sklearn.base import BaseEstimator, TransformerMixin, _fit_context, clone
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from skhimatch.text.pretrained import describe, load_tokenizer
from skhimatch.text.sequences import SubwordSequences, SubwordVocabulary, TokenSequences
from skhimatch.text.words import WordTokenizer, check_texts

__all__ = ["SubwordTokenizer", "pieces_of", "vocabulary_of"]

TEXTS_AT_ONCE = 1_000


class SubwordTokenizer(TransformerMixin, BaseEstimator):
    """Turn texts into subwords for a pretrained encoder, and into words for the evidence beside it.

    Parameters
    ----------
    encoder : str or path
        The encoder, whose tokenizer it is: a folder, or a model's name on the Hugging Face hub.
    words : WordTokenizer, optional
        Turns the same texts into words; None means `WordTokenizer()`.

    Attributes
    ----------
    tokenizer_ : transformers.PreTrainedTokenizerBase
        The encoder's own.
    vocabulary_ : SubwordVocabulary
        Its pieces.
    words_ : WordTokenizer
        Fitted on the training texts.

    See Also
    --------
    SubwordSequences : What `transform` returns.

    Notes
    -----
    Texts are kept whole: how much of a text is read is up to the encoder.
    """

    _parameter_constraints: dict = {  # noqa: RUF012 - scikit-learn's convention
        "encoder": [str, PathLike],
        "words": [WordTokenizer, None],
    }

    def __init__(self, encoder: str | PathLike[str], *, words: WordTokenizer | None = None):
        self.encoder = encoder
        self.words = words

    @classmethod
    def of(cls, encoder: str, tokenizer: Any, words: WordTokenizer) -> SubwordTokenizer:
        """Put a fitted one together from its parts.

        Parameters
        ----------
        encoder : str
            The encoder's name.
        tokenizer : transformers.PreTrainedTokenizerBase
            Its tokenizer.
        words : WordTokenizer
            Fitted.

        Returns
        -------
        SubwordTokenizer
        """
        made = cls(encoder, words=clone(words))
        made.tokenizer_, made.vocabulary_, made.words_ = tokenizer, vocabulary_of(tokenizer), words
        return made

    def fit(self, X: Iterable[str], y: object = None) -> SubwordTokenizer:
        """Load the encoder's tokenizer, and learn the vocabulary of words.

        Parameters
        ----------
        X : iterable of str, length n_texts
            The training texts.
        y : object, default=None
            Ignored.

        Returns
        -------
        SubwordTokenizer
            Itself.

        Raises
        ------
        TypeError, ValueError
            As `WordTokenizer.fit`; also for texts that come as lists of tokens.
        ImportError, OSError
            When transformers is not installed, or there is no such encoder.
        """
        self.fit_transform(X)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def fit_transform(self, X: Iterable[str], y: object = None) -> SubwordSequences:
        """Do what `fit` does, and return the same texts, tokenised once.

        Parameters
        ----------
        X : iterable of str, length n_texts
            The training texts.
        y : object, default=None
            Ignored.

        Returns
        -------
        SubwordSequences of shape (n_texts,)

        Raises
        ------
        TypeError, ValueError, ImportError, OSError
            As `fit`.
        """
        texts = _whole(check_texts(X))
        tokenizer = load_tokenizer(self.encoder, describe(self.encoder).subfolder)
        words = WordTokenizer() if self.words is None else clone(self.words)
        read = words.fit_transform(texts)
        self.tokenizer_, self.vocabulary_, self.words_ = tokenizer, vocabulary_of(tokenizer), words
        return SubwordSequences(pieces_of(texts, self.tokenizer_, self.vocabulary_), read)

    def transform(self, X: Iterable[str]) -> SubwordSequences:
        """Return texts as subwords and as words.

        Parameters
        ----------
        X : iterable of str, length n_texts
            The texts; one without any token becomes an empty sequence.

        Returns
        -------
        SubwordSequences of shape (n_texts,)

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before `fit`.
        TypeError, ValueError
            As `check_texts`; also for texts that come as lists of tokens.
        """
        check_is_fitted(self)
        texts = _whole(check_texts(X))
        pieces = pieces_of(texts, self.tokenizer_, self.vocabulary_)
        return SubwordSequences(pieces, self.words_.transform(texts))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = []
        return tags


def pieces_of(texts: Sequence[str], tokenizer: Any, vocabulary: SubwordVocabulary) -> TokenSequences:
    """Cut whole texts into the pieces of a pretrained tokenizer, whose vocabulary is given."""
    lists: list[list[int]] = []
    for start in range(0, len(texts), TEXTS_AT_ONCE):
        # Special tokens go around what the encoder reads at once, which may be a part of a text.
        found = tokenizer(
            list(texts[start : start + TEXTS_AT_ONCE]),
            add_special_tokens=False,
            truncation=False,
            return_attention_mask=False,
            verbose=False,
        )
        lists += found["input_ids"]
    return TokenSequences.from_lists(lists, vocabulary)


def vocabulary_of(tokenizer: Any) -> SubwordVocabulary:
    """List a pretrained tokenizer's pieces in the order of their ids."""
    by_id = {number: piece for piece, number in tokenizer.get_vocab().items()}
    return SubwordVocabulary(by_id.get(number, f"<no piece {number}>") for number in range(max(by_id) + 1))


def _whole(texts: list[Any]) -> list[str]:
    if isinstance(texts[0], list):
        raise TypeError(
            "Text 0 is a list of tokens; a pretrained encoder has a tokenizer of its own: pass whole texts."
        )
    return texts
