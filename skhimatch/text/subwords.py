"""The subword tokenizer: texts to the subwords of a pretrained encoder, and to words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from os import PathLike
from typing import Any

from sklearn.base import BaseEstimator, _fit_context, clone
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from skhimatch.text.hub import describe, load_tokenizer
from skhimatch.text.sequence_output import SequenceTransformer, with_index_of
from skhimatch.text.sequences import SubwordSequences, SubwordVocabulary, TokenSequences
from skhimatch.text.words import WordTokenizer, check_texts

__all__ = ["SubwordTokenizer", "pieces_of", "places_of_pieces", "vocabulary_of"]

# Texts per call of the pretrained tokenizer.
CHUNK_SIZE = 1_000
# A half of a character of UTF-16 without its other half. Pretrained tokenizers refuse it.
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
# Ids without a subword, beyond as many as there are subwords.
MAX_PLACEHOLDERS = 10_000


class SubwordTokenizer(SequenceTransformer, BaseEstimator):
    """Turn texts into subwords for a pretrained encoder, and into words for the other models.

    Parameters
    ----------
    encoder : str or path
        The encoder: a folder, or the name of a model on the Hugging Face hub. Its tokenizer is used.
    words : WordTokenizer, optional
        The tokenizer that turns the same texts into words. None means `WordTokenizer()`.

    Attributes
    ----------
    tokenizer_ : transformers.PreTrainedTokenizerBase
        The tokenizer of the encoder.
    vocabulary_ : SubwordVocabulary
        The subwords of this tokenizer.
    words_ : WordTokenizer
        The word tokenizer, fitted on the training texts.

    See Also
    --------
    SubwordSequences : What `transform` returns.

    Notes
    -----
    Texts are not truncated here. The encoder does that.
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
        """Make a fitted tokenizer from its parts.

        Parameters
        ----------
        encoder : str
            The name of the encoder.
        tokenizer : transformers.PreTrainedTokenizerBase
            The tokenizer of the encoder.
        words : WordTokenizer
            The fitted word tokenizer.

        Returns
        -------
        SubwordTokenizer
            The fitted tokenizer.
        """
        made = cls(encoder, words=clone(words))
        made.tokenizer_, made.vocabulary_, made.words_ = tokenizer, vocabulary_of(tokenizer), words
        return made

    def fit(self, X: Iterable[str], y: object = None) -> SubwordTokenizer:
        """Load the tokenizer of the encoder, and learn the vocabulary of words.

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
            As `WordTokenizer.fit`. Also if texts are lists of tokens.
        ImportError, OSError
            If transformers is not installed, or the encoder does not exist.
        """
        self.fit_transform(X)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def fit_transform(self, X: Iterable[str], y: object = None) -> SubwordSequences:
        """Do the same as `fit`, and return the same texts. Each text is tokenised once.

        Parameters
        ----------
        X : iterable of str, length n_texts
            The training texts.
        y : object, default=None
            Ignored.

        Returns
        -------
        SubwordSequences of shape (n_texts,)
            The subwords and words of each text.

        Raises
        ------
        TypeError, ValueError, ImportError, OSError
            As `fit`.
        """
        texts = _check_whole(check_texts(X))
        tokenizer = load_tokenizer(self.encoder, describe(self.encoder).subfolder)
        words = WordTokenizer() if self.words is None else clone(self.words)
        read = words.fit_transform(texts)
        self.tokenizer_, self.vocabulary_, self.words_ = tokenizer, vocabulary_of(tokenizer), words
        return with_index_of(SubwordSequences(pieces_of(texts, self.tokenizer_, self.vocabulary_), read), X)

    def transform(self, X: Iterable[str]) -> SubwordSequences:
        """Return texts as subwords and as words.

        Parameters
        ----------
        X : iterable of str, length n_texts
            The texts. A text without a token becomes an empty sequence.

        Returns
        -------
        SubwordSequences of shape (n_texts,)
            The subwords and words of each text.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If it is not fitted.
        TypeError, ValueError
            As `check_texts`. Also if texts are lists of tokens.
        """
        check_is_fitted(self)
        texts = _check_whole(check_texts(X))
        pieces = pieces_of(texts, self.tokenizer_, self.vocabulary_)
        return with_index_of(SubwordSequences(pieces, self.words_.transform(texts)), X)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.transformer_tags.preserves_dtype = []
        return tags


def pieces_of(texts: Sequence[str], tokenizer: Any, vocabulary: SubwordVocabulary) -> TokenSequences:
    """Split texts into the subwords of a pretrained tokenizer.

    Parameters
    ----------
    texts : sequence of n str
        The texts.
    tokenizer : transformers.PreTrainedTokenizerBase
        The pretrained tokenizer.
    vocabulary : SubwordVocabulary
        The vocabulary of this tokenizer, see `vocabulary_of`.

    Returns
    -------
    TokenSequences of shape (n,)
        The subword ids of each text, without special tokens.
    """
    lists: list[list[int]] = []
    for start in range(0, len(texts), CHUNK_SIZE):
        chunk = texts[start : start + CHUNK_SIZE]
        # The encoder adds special tokens to each window, which may be a part of a text.
        found = tokenizer(
            [_LONE_SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text) for text in chunk],
            add_special_tokens=False,
            truncation=False,
            return_attention_mask=False,
            verbose=False,
        )
        lists += found["input_ids"]
    return TokenSequences.from_lists(lists, vocabulary)


def places_of_pieces(text: str, tokenizer: Any) -> list[tuple[int, int]] | None:
    """Return where the subwords of a text are in the text.

    Parameters
    ----------
    text : str
        The text.
    tokenizer : transformers.PreTrainedTokenizerBase
        The pretrained tokenizer.

    Returns
    -------
    list of (start, end), or None
        In the order of `pieces_of`. None if the tokenizer does not tell: a slow one, written in Python.
    """
    if not tokenizer.is_fast:
        return None
    found = tokenizer(
        _LONE_SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text),
        add_special_tokens=False,
        truncation=False,
        return_offsets_mapping=True,
        verbose=False,
    )
    return [(int(start), int(end)) for start, end in found["offset_mapping"]]


def vocabulary_of(tokenizer: Any) -> SubwordVocabulary:
    """Return the subwords of a pretrained tokenizer, in the order of their ids.

    Parameters
    ----------
    tokenizer : transformers.PreTrainedTokenizerBase
        The pretrained tokenizer.

    Returns
    -------
    SubwordVocabulary
        The subwords. Ids without a subword get a placeholder.

    Raises
    ------
    ValueError
        If most ids have no subword.
    """
    # Sorted, so that of several subwords with one id it is always the same.
    by_id = {number: piece for piece, number in sorted(tokenizer.get_vocab().items())}
    if max(by_id) >= MAX_PLACEHOLDERS + 2 * len(by_id):
        raise ValueError(
            f"The tokenizer has {len(by_id):,} subwords, and ids up to {max(by_id):,}: its files are "
            "damaged; take them from where the model is from."
        )
    return SubwordVocabulary(by_id.get(number, f"<no piece {number}>") for number in range(max(by_id) + 1))


def _check_whole(texts: list[Any]) -> list[str]:
    if isinstance(texts[0], list):
        raise TypeError(
            "Text 0 is a list of tokens; a pretrained encoder has its own tokenizer: pass whole texts."
        )
    return texts
