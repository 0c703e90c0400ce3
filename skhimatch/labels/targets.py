"""What ``y`` may be: label sets, indicators and frames in, one sparse matrix out."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np
import scipy.sparse as sp

from skhimatch.labels.hierarchy import LabelHierarchy

__all__ = ["encode_targets", "hold_out", "is_indicator", "label_names", "to_label_sets"]


def is_indicator(y: Any) -> bool:
    """Tell a 0/1 matrix or a frame of label columns from an iterable of label sets."""
    return sp.issparse(y) or (hasattr(y, "shape") and len(y.shape) == 2)


def label_names(y: Any) -> list[str]:
    """Name the labels of a `y` that comes without a hierarchy.

    Parameters
    ----------
    y : iterable of iterables of str, or indicator of shape (n, L)
        The training targets.

    Returns
    -------
    list of str
        The sorted union of the label sets, a frame's column names, or the
        column numbers "0", "1", ... of a plain matrix.

    Examples
    --------
    >>> label_names([{"b", "a"}, {"c"}])
    ['a', 'b', 'c']
    """
    if hasattr(y, "columns"):
        return [str(name) for name in y.columns]
    if is_indicator(y):
        return [str(column) for column in range(y.shape[1])]
    return sorted({label for _, labels in _rows(y) for label in labels})


def encode_targets(y: Any, hierarchy: LabelHierarchy, n_texts: int | None = None) -> sp.csr_array:
    """Turn any accepted form of `y` into a sparse 0/1 matrix.

    Parameters
    ----------
    y : iterable of iterables of str, indicator or DataFrame
        Label sets, one a text; or a dense or sparse 0/1 matrix of shape
        (n, L) whose columns are `hierarchy.labels`; or a frame whose column
        names are these labels, in any order. An empty set or an all-zero row
        is a text without labels: it counts as a negative example of each.
    hierarchy : LabelHierarchy
        The known labels, in column order.
    n_texts : int, optional
        The number of texts that `y` has to match.

    Returns
    -------
    scipy.sparse.csr_array of shape (n, L), float32
        Ones where a label is a target.

    Raises
    ------
    ValueError
        When lengths differ, a label is unknown, a column is missing, or an
        entry is neither 0 nor 1.
    TypeError
        When a row is no collection of strings.

    Examples
    --------
    >>> h = LabelHierarchy([("science", "physics"), ("science", "biology")])
    >>> encode_targets([{"science", "physics"}, set()], h).toarray()
    array([[0., 1., 1.],
           [0., 0., 0.]], dtype=float32)
    """
    encoded = _encode_indicator(y, hierarchy) if is_indicator(y) else _encode_label_sets(y, hierarchy)
    if n_texts is not None and encoded.shape[0] != n_texts:
        raise ValueError(
            f"Found input variables with inconsistent numbers of samples: {n_texts} texts in X and "
            f"{encoded.shape[0]} rows in y. Pass one row of targets a text."
        )
    return encoded


def to_label_sets(indicator: Any, labels: Sequence[str]) -> list[set[str]]:
    """Turn a 0/1 matrix into label sets.

    Parameters
    ----------
    indicator : array or sparse array of shape (n, L)
        Nonzero where a label is predicted.
    labels : sequence of L str
        The column names.

    Returns
    -------
    list of set of str
        One set a row.

    Raises
    ------
    ValueError
        When the number of columns is not the number of labels.

    Examples
    --------
    >>> to_label_sets(np.array([[1, 0], [0, 0]]), ["physics", "science"])
    [{'physics'}, set()]
    """
    rows = sp.csr_array(indicator)
    if rows.ndim != 2 or rows.shape[1] != len(labels):
        raise ValueError(f"An indicator of shape {rows.shape} does not fit {len(labels)} labels (columns).")
    rows.eliminate_zeros()
    names = np.asarray(labels, dtype=object)
    return [
        set(names[rows.indices[start:stop]])
        for start, stop in zip(rows.indptr[:-1], rows.indptr[1:], strict=True)
    ]


def hold_out(
    targets: sp.csr_array, fraction: float, random_state: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray]:
    """Split texts for validation so that every label keeps a training text.

    Parameters
    ----------
    targets : csr_array of shape (n, L)
        0/1 targets.
    fraction : float in (0, 1)
        Share of the texts to hold out; fewer where rare labels forbid it.
    random_state : numpy.random.RandomState
        Source of the order in which texts are tried.

    Returns
    -------
    train, validation : int64 arrays
        Sorted row numbers. A text that is the last training example of one
        of its labels stays in `train`.

    Examples
    --------
    >>> y = sp.csr_array(np.array([[1, 0], [1, 0], [1, 0], [0, 1]]))
    >>> train, validation = hold_out(y, 0.5, np.random.RandomState(0))
    >>> len(validation), 3 in train
    (2, True)
    """
    n_texts = targets.shape[0]
    wanted = round(fraction * n_texts)
    remaining = np.asarray(targets.sum(axis=0)).ravel()
    held: list[int] = []
    for row in random_state.permutation(n_texts):
        if len(held) >= wanted:
            break
        labels = targets.indices[targets.indptr[row] : targets.indptr[row + 1]]
        if (remaining[labels] >= 2).all():
            remaining[labels] -= 1
            held.append(row)
    validation = np.sort(np.asarray(held, dtype=np.int64))
    return np.setdiff1d(np.arange(n_texts), validation), validation


def _rows(y: Iterable[Any]) -> Iterable[tuple[int, list[str]]]:
    """Yield each row's labels, checked."""
    if y is None:
        raise ValueError(
            "This HiMatchClassifier estimator requires y to be passed, but the target y is None: "
            "pass one set of labels a text, or an indicator matrix."
        )
    if isinstance(y, str | bytes) or not isinstance(y, Iterable):
        raise TypeError(
            f"y is {type(y).__name__}, not one set of labels a text: pass [{{'science', 'physics'}}, ...]."
        )
    dtype = getattr(y, "dtype", None)
    if getattr(dtype, "kind", "O") in "biufc":
        raise ValueError(
            f"Unknown label type: y is one {dtype} a text: pass one set of label names a text, or an "
            "indicator of shape (n, L) that holds 0 and 1."
        )
    for row, labels in enumerate(y):
        if isinstance(labels, str | bytes) or not isinstance(labels, Iterable):
            raise TypeError(
                f"y[{row}] is {labels!r}, not a collection of label names: "
                f"wrap a single label in a set, {{{labels!r}}}."
            )
        names = list(labels)
        for name in names:
            if not isinstance(name, str):
                raise TypeError(
                    f"y[{row}] holds {name!r} of type {type(name).__name__}: label names are strings."
                )
        yield row, names


def _encode_label_sets(y: Iterable[Any], hierarchy: LabelHierarchy) -> sp.csr_array:
    columns: list[int] = []
    offsets = [0]
    for row, labels in _rows(y):
        try:
            columns.extend(sorted({hierarchy.index[label] for label in labels}))
        except KeyError as error:
            raise _unknown_label(error.args[0], f"y[{row}]", hierarchy) from None
        offsets.append(len(columns))
    return sp.csr_array(
        (np.ones(len(columns), dtype=np.float32), np.asarray(columns, dtype=np.int64), np.asarray(offsets)),
        shape=(len(offsets) - 1, len(hierarchy)),
    )


def _encode_indicator(y: Any, hierarchy: LabelHierarchy) -> sp.csr_array:
    if hasattr(y, "columns"):
        y = _reorder_columns(y, hierarchy)
    if y.shape[1] != len(hierarchy):
        raise ValueError(
            f"y has {y.shape[1]} columns but there are {len(hierarchy)} labels "
            f"({', '.join(hierarchy.labels[:3])}, ...): one column a label, in the order of `classes=` "
            "or of the sorted labels."
        )
    if not sp.issparse(y):
        y = np.asarray(y)
        if y.dtype.kind not in "biuf":
            raise ValueError(f"Unknown label type: an indicator holds 0 and 1, not {y.dtype} entries.")
        if y.dtype.kind == "f" and not np.isfinite(y).all():
            row, column = np.argwhere(~np.isfinite(y))[0]
            raise ValueError(f"Input y contains NaN or infinity, first at row {row}, column {column}.")
    encoded = sp.csr_array(y).astype(np.float32)
    encoded.sum_duplicates()
    encoded.eliminate_zeros()
    odd = np.flatnonzero(encoded.data != 1)
    if len(odd):
        row = int(np.searchsorted(encoded.indptr, odd[0], side="right")) - 1
        raise ValueError(
            f"Unknown label type: row {row} of y holds {encoded.data[odd[0]]:g} in the column of "
            f"{hierarchy.labels[encoded.indices[odd[0]]]!r}; an indicator holds only 0 and 1."
        )
    return encoded


def _reorder_columns(frame: Any, hierarchy: LabelHierarchy) -> np.ndarray:
    names = [str(name) for name in frame.columns]
    for name in names:
        if name not in hierarchy:
            raise _unknown_label(name, "the columns of y", hierarchy)
    missing = [label for label in hierarchy.labels if label not in set(names)]
    if missing or len(names) != len(hierarchy):
        raise ValueError(
            f"y lacks a column for label {missing[0]!r}: every label of the hierarchy needs one."
            if missing
            else f"y has {len(names)} columns for {len(hierarchy)} labels: a name occurs twice."
        )
    return np.asarray(frame)[:, np.argsort([hierarchy.index[name] for name in names])]


def _unknown_label(label: str, place: str, hierarchy: LabelHierarchy) -> ValueError:
    near = get_close_matches(label, hierarchy.labels, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return ValueError(
        f"Label {label!r} in {place} is not among the {len(hierarchy)} known labels.{hint} "
        "Add it to `hierarchy` (or `classes`), or correct it."
    )


def validation_pair(X_val: Any, y_val: Any, validation_data: tuple[Any, Any] | None) -> tuple[Any, Any]:
    return validation_data if validation_data is not None else (X_val, y_val)
