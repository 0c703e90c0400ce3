"""What tokenizers have in common as scikit-learn transformers: they return sequences, which are no table."""

from __future__ import annotations

from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import TransformerMixin

from skhimatch.text.sequences import Texts

__all__ = ["SequenceTransformer", "with_index_of"]

Sequences = TypeVar("Sequences", bound=Texts)


def with_index_of(sequences: Sequences, X: Any) -> Sequences:
    """Give sequences the index of the DataFrame or Series that they were made from.

    Parameters
    ----------
    sequences : TokenSequences or SubwordSequences
        Changed in place.
    X : object
        Texts in any form.

    Returns
    -------
    TokenSequences or SubwordSequences
        The same object.
    """
    # A list has a method of this name.
    sequences.index = X.index if hasattr(X, "iloc") else None
    return sequences


class SequenceTransformer(TransformerMixin):
    """Base of transformers that return `TokenSequences`, also where tables are asked for."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        # By default scikit-learn makes a table of what `transform` returns.
        super().__init_subclass__(**kwargs | {"auto_wrap_output_keys": None})

    def set_output(self, *, transform: str | None = None) -> Self:
        """Change nothing: sequences of different lengths are no table.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"}, optional
            Accepted, so that `set_output` can be called on a Pipeline.

        Returns
        -------
        self
            Itself.
        """
        return self

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> NDArray[np.object_]:
        """Return one name, since all tokens of a text are one feature.

        Parameters
        ----------
        input_features : array-like of str, optional
            Ignored.

        Returns
        -------
        ndarray of str, shape (1,)
            The name of the class in lower case, and 0.
        """
        return np.array([f"{type(self).__name__.lower()}0"], dtype=object)
