"""Training targets: every accepted format of `y` becomes one sparse indicator."""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from itertools import pairwise
from numbers import Number
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.labels.indicators import as_indicator
from skhimatch.labels.spelling import suggestion
from skhimatch.warn_user import warn_user

__all__ = [
    "divide",
    "encode_targets",
    "hold_out",
    "is_indicator",
    "label_names",
    "nested_rows",
    "reusable",
    "to_label_sets",
    "validation_pair",
    "warn_of_broken_rows",
]


def is_indicator(y: Any) -> bool:
    """Tell whether `y` is an indicator: one column per label, not one entry per text.

    Parameters
    ----------
    y : object
        The targets, in any format. An iterator is not consumed.

    Returns
    -------
    bool
        True for a sparse array, a DataFrame, a 2-D array of numbers, and lists of 0 and 1.

    Examples
    --------
    >>> is_indicator([[0, 1], [1, 0]]), is_indicator([{"a"}, {"b"}])
    (True, False)
    """
    if sp.issparse(y) or hasattr(y, "columns"):
        return True
    if len(getattr(y, "shape", ())) == 2:
        return not _is_array_of_names(y)
    return _is_nested_indicator(y)


def reusable(y: Any) -> Any:
    """Return targets that can be read twice: a list for a generator, and an array for what only makes one.

    Parameters
    ----------
    y : object
        The targets, in any format.

    Returns
    -------
    object
        Anything else as it is.

    Examples
    --------
    >>> reusable(labels for labels in [{"a"}, {"b"}])
    [{'a'}, {'b'}]
    """
    if isinstance(y, Iterator):
        return list(y)
    return np.asarray(y) if hasattr(y, "__array__") and not isinstance(y, Iterable) else y


def label_names(y: Any) -> list[str]:
    """Name the labels of a `y` that comes without a hierarchy.

    Parameters
    ----------
    y : iterable of iterables of str, iterable of str, or indicator of shape (n, L)
        The training targets. A string is one label. It is not split into parts.

    Returns
    -------
    list of str
        The sorted labels that occur, the column names of a DataFrame, or the column numbers
        "0", "1", ... of another indicator.

    Raises
    ------
    ValueError, TypeError
        As `encode_targets`.

    Examples
    --------
    >>> label_names([{"b", "a"}, {"c"}])
    ['a', 'b', 'c']
    >>> label_names(["b", "a", "b"])
    ['a', 'b']
    """
    if hasattr(y, "columns"):
        return [str(name) for name in y.columns]
    if is_indicator(y):
        _check_two_dimensions(y)
        n_columns = y.shape[1] if hasattr(y, "shape") and len(y.shape) == 2 else len(nested_rows(y)[0])
        return [str(column) for column in range(n_columns)]
    rows, _ = _rows(y)
    return sorted({str(label) for labels in rows for label in labels})


def encode_targets(
    y: Any,
    hierarchy: LabelHierarchy,
    n_texts: int | None = None,
    *,
    sep: str = "/",
    check_rows: npt.NDArray[np.bool_] | None = None,
) -> sp.csr_array:
    """Turn any accepted format of `y` into a sparse indicator.

    Parameters
    ----------
    y : iterable of iterables of str, iterable of str, indicator or DataFrame
        One of

        - one collection of labels per text, such as a set or a list. Exactly these labels are
          targets. An empty collection is a text without labels: a negative example of each label;
        - one string per text. The string names the end of a path: its ancestors in the hierarchy
          are targets too. A string that is not a label but a path, such as "science/physics", makes
          exactly its parts targets. In a flat hierarchy a string is always one label;
        - an indicator of shape (n, L), dense, sparse or as nested lists of 0 and 1. Its columns are
          `hierarchy.labels`;
        - a DataFrame of 0 and 1. Its column names are these labels, in any order.
    hierarchy : LabelHierarchy
        The known labels, in column order.
    n_texts : int, optional
        The number of texts. By default it is not checked.
    sep : str, default="/"
        The separator of the parts of a path.
    check_rows : bool ndarray of shape (n,), optional
        The rows of an indicator that are checked for missing ancestors, all by default.

    Returns
    -------
    scipy.sparse.csr_array of shape (n, L), float32
        One where a label is a target.

    Raises
    ------
    ValueError
        If lengths differ, a label is unknown, a path is not in the hierarchy, a column is missing,
        or an entry of an indicator is neither 0 nor 1.
    TypeError
        If `y` is a single string or has no order, a row is not a collection of strings, or only
        some of the rows are strings.

    Warns
    -----
    UserWarning
        If an indicator without column names seems to have its columns in another order. See
        `warn_of_broken_rows`.

    Examples
    --------
    >>> h = LabelHierarchy([("science", "physics"), ("science", "biology")])
    >>> encode_targets([{"science", "physics"}, set()], h).toarray()
    array([[0., 1., 1.],
           [0., 0., 0.]], dtype=float32)
    >>> encode_targets(["physics", "science/biology", "science"], h).toarray()
    array([[0., 1., 1.],
           [1., 0., 1.],
           [0., 0., 1.]], dtype=float32)
    """
    y = reusable(y)
    if is_indicator(y):
        encoded = _encode_indicator(y, hierarchy)
        if not hasattr(y, "columns"):
            warn_of_broken_rows(encoded if check_rows is None else encoded[check_rows], hierarchy)
    else:
        encoded = _encode_rows(y, hierarchy, sep)
    if n_texts is not None and encoded.shape[0] != n_texts:
        raise ValueError(
            f"Found input variables with inconsistent numbers of samples: {n_texts} texts in X and "
            f"{encoded.shape[0]} rows in y. Pass one row of targets per text."
        )
    return encoded


def warn_of_broken_rows(encoded: sp.csr_array, hierarchy: LabelHierarchy) -> None:
    """Warn if the columns of an indicator seem to be in another order than the labels.

    A row is broken if it lacks an ancestor of one of its labels. Ancestors that no row has are not
    counted, so targets that are only leaves break no row. Targets of one label per text are not
    checked either: they may be the most specific label of each text, without its ancestors.

    Parameters
    ----------
    encoded : csr_array of shape (n, L)
        0/1 targets.
    hierarchy : LabelHierarchy
        L labels in column order. Nothing is checked if it has no edges.

    Warns
    -----
    UserWarning
        If more than half of the rows with a label are broken.

    Examples
    --------
    >>> h = LabelHierarchy([("science", "physics")])  # columns: physics, science
    >>> warn_of_broken_rows(sp.csr_array([[1, 1], [0, 1]]), h)
    """
    n_labels = np.diff(encoded.indptr)
    if not len(hierarchy.edges) or n_labels.max(initial=0) < 2:
        return
    present = as_indicator(encoded)
    tagged = np.flatnonzero(np.bincount(present.indices, minlength=len(hierarchy)))
    wanted = (present @ hierarchy.ancestors)[:, tagged]
    found = sp.csr_array(wanted.multiply(present[:, tagged]))
    broken = np.diff(wanted.indptr) > np.diff(found.indptr)
    share = broken.sum() / (n_labels > 0).sum()
    if share > 0.5:
        warn_user(
            f"{100 * share:.0f} % of the rows of y with a label lack an ancestor of one of their labels. "
            f"The columns may be in another order than the labels, {', '.join(hierarchy.labels[:3])}, ...: "
            "pass `classes=mlb.classes_`, where `mlb` is the MultiLabelBinarizer that made y, or a DataFrame "
            "with the labels as column names. If the order is right and ancestors are left out on purpose, "
            "ignore this warning.",
        )


def validation_pair(
    X_val: Any, y_val: Any, validation_data: tuple[Any, Any] | None
) -> tuple[Any, Any] | None:
    """Return the validation set that the arguments of a `fit` method name.

    Parameters
    ----------
    X_val : iterable of str, optional
        The validation texts.
    y_val : object, optional
        The labels of the validation texts.
    validation_data : (X, y), optional
        Both in one tuple. Deprecated.

    Returns
    -------
    (X, y) or None
        None if there is no validation set.

    Raises
    ------
    ValueError
        If only one of `X_val` and `y_val` is given, or both these and `validation_data`, or
        `validation_data` is not a pair.

    Warns
    -----
    FutureWarning
        If `validation_data` is given.

    Examples
    --------
    >>> validation_pair(["a wave"], [{"physics"}], None)
    (['a wave'], [{'physics'}])
    """
    if validation_data is not None:
        if X_val is not None or y_val is not None:
            raise ValueError("Both validation_data and X_val, y_val are given: pass only X_val and y_val.")
        warn_user("validation_data=(X, y) is deprecated: pass X_val=X, y_val=y.", FutureWarning)
        is_sequence = isinstance(validation_data, Sequence) and not isinstance(validation_data, str | bytes)
        if not is_sequence or len(validation_data) != 2:
            raise ValueError("validation_data is not a pair (X, y): pass X_val=X, y_val=y.")
        return validation_data[0], validation_data[1]
    if (X_val is None) != (y_val is None):
        given, missing = ("X_val", "y_val") if y_val is None else ("y_val", "X_val")
        raise ValueError(f"{given} is given but {missing} is not: pass both or neither.")
    return None if X_val is None else (X_val, y_val)


def to_label_sets(indicator: Any, labels: Sequence[str]) -> list[set[str]]:
    """Turn an indicator into label sets.

    Parameters
    ----------
    indicator : array or sparse array of shape (n, L)
        Nonzero where a label is predicted.
    labels : sequence of L str
        The column names.

    Returns
    -------
    list of set of str
        One set per row.

    Raises
    ------
    ValueError
        If the number of columns is not the number of labels.

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
        Share of the texts to hold out. Fewer texts are held out if labels are too rare.
    random_state : numpy.random.RandomState
        The rng that shuffles the texts.

    Returns
    -------
    train : int64 array
        Sorted row numbers. A text that is the last training text of one of its labels stays here.
    validation : int64 array
        The other row numbers, sorted.

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


def divide(
    targets: sp.csr_array, n_parts: int, random_state: np.random.RandomState
) -> list[npt.NDArray[np.int64]]:
    """Divide texts into parts in which each label is as frequent as in all, as far as that is possible.

    Parameters
    ----------
    targets : csr_array of shape (n, L)
        0/1 targets.
    n_parts : int
        The number of parts.
    random_state : numpy.random.RandomState
        The rng that shuffles the texts.

    Returns
    -------
    list of `n_parts` int64 arrays
        The rows of each part, sorted.

    Examples
    --------
    >>> y = sp.csr_array(np.array([[1, 0], [1, 0], [0, 1], [0, 1]]))
    >>> [y[rows].sum(axis=0).tolist() for rows in divide(y, 2, np.random.RandomState(0))]
    [[1, 1], [1, 1]]
    """
    n_texts, n_labels = targets.shape
    # A text without labels is counted as one with a label of its own.
    unlabelled = sp.csr_array((np.diff(targets.indptr) == 0).astype(targets.dtype)[:, None])
    indicator = sp.hstack([targets, unlabelled], format="csr")
    number = np.bincount(indicator.indices, minlength=n_labels + 1)
    rarest = np.minimum.reduceat(number[indicator.indices], indicator.indptr[:-1]) if n_texts else number[:0]
    of_label = np.zeros((n_labels + 1, n_parts))
    sizes = np.zeros(n_parts)
    part_of = np.empty(n_texts, dtype=np.int64)
    shuffled = random_state.permutation(n_texts)
    # The texts of rare labels come first, since frequent labels can be balanced with the others later.
    for row in shuffled[np.argsort(rarest[shuffled], kind="stable")]:
        labels = indicator.indices[indicator.indptr[row] : indicator.indptr[row + 1]]
        crowded = (of_label[labels] / number[labels, None]).sum(axis=0)
        part = np.lexsort((sizes, crowded))[0]
        of_label[labels, part] += 1
        sizes[part] += 1
        part_of[row] = part
    return [np.flatnonzero(part_of == part) for part in range(n_parts)]


def _is_array_of_names(y: Any) -> bool:
    """Tell whether a 2-D array holds label names, one row per text, and not "0" and "1"."""
    if not isinstance(y, np.ndarray) or y.dtype.kind not in "UO":
        return False
    entries = set(map(type, y.flat)) if y.dtype.kind == "O" else {str}
    return all(issubclass(kind, str) for kind in entries) and (not y.size or not {*y.flat} <= {"0", "1"})


def _is_nested_indicator(y: Any) -> bool:
    """Tell whether `y` is a sequence of sequences of 0, 1 and NaN, with some 0 or 1."""
    if isinstance(y, str | bytes) or not (isinstance(y, Sequence | np.ndarray) or hasattr(y, "iloc")):
        return False
    if getattr(getattr(y, "dtype", None), "kind", "O") != "O" or getattr(y, "shape", None) == ():
        return False
    empty = True
    for row in y:
        if not isinstance(row, list | tuple | np.ndarray) or getattr(row, "ndim", 1) != 1:
            return False
        entries = row.tolist() if isinstance(row, np.ndarray) else row
        if not all(
            isinstance(entry, Number | np.bool_) and (entry in (0, 1) or _is_nan(entry)) for entry in entries
        ):
            return False
        empty = empty and all(map(_is_nan, entries))
    return not empty


def _is_nan(entry: Any) -> bool:
    return entry != entry


def nested_rows(y: Any) -> list[Any]:
    """Return the rows of a nested indicator, of which all have one length.

    Parameters
    ----------
    y : sequence of sequences of numbers
        See `is_indicator`.

    Returns
    -------
    list of sequences

    Raises
    ------
    ValueError
        If a row has another length than the first.
    """
    rows = list(y)
    for position, row in enumerate(rows):
        if len(row) != len(rows[0]):
            raise ValueError(
                f"y[{position}] has {len(row)} entries and y[0] has {len(rows[0])}: rows of 0 and 1 are an "
                "indicator, with one column per label. Label names are strings."
            )
    return rows


def _rows(y: Iterable[Any]) -> tuple[list[list[str]], bool]:
    """Return the label names of each row, and whether each row is a plain string."""
    if y is None:
        raise ValueError(
            "This estimator requires y to be passed, but the target y is None: "
            "pass one set of labels per text, or an indicator."
        )
    if isinstance(y, str | bytes) or not isinstance(y, Iterable) or getattr(y, "shape", None) == ():
        raise TypeError(
            f"y is {type(y).__name__}, not one set of labels per text: pass [{{'science', 'physics'}}, ...]."
        )
    if isinstance(y, Set | Mapping):
        raise TypeError(
            f"y is {type(y).__name__}, which has no order: pass a list with one set of labels per text."
        )
    dtype = getattr(y, "dtype", None)
    if getattr(dtype, "kind", "O") in "biufc":
        raise ValueError(
            f"Unknown label type: y is one {dtype} per text: pass one set of label names per text, or an "
            "indicator of shape (n, L) that holds 0 and 1. If these numbers stand for labels, pass them as "
            "names: [str(label) for label in y]."
        )
    rows: list[list[str]] = []
    are_strings = False
    for row, labels in enumerate(y):
        if row and isinstance(labels, str) != are_strings:
            raise TypeError(
                f"y[{row}] is {labels!r}, but y[0] is {'a' if are_strings else 'not a'} string: "
                "pass one kind for all texts, such as a set of labels."
            )
        if isinstance(labels, str):
            are_strings = True
            rows.append([labels])
            continue
        if isinstance(labels, bytes) or not isinstance(labels, Iterable):
            number = isinstance(labels, Number | np.bool_) and labels == labels
            raise TypeError(
                f"y[{row}] is {labels!r}, not a collection of label names: pass a set of strings, or set() "
                "for a text without labels."
                + " Numbers that stand for labels are passed as names: [str(label) for label in y]."
                * number
            )
        names = list(labels)
        for name in names:
            if not isinstance(name, str):
                raise TypeError(
                    f"y[{row}] holds {name!r} of type {type(name).__name__}: label names are strings, and an "
                    "indicator holds only 0 and 1."
                )
        rows.append(names)
    return rows, are_strings


def _encode_rows(y: Iterable[Any], hierarchy: LabelHierarchy, sep: str) -> sp.csr_array:
    rows, are_strings = _rows(y)
    columns: list[int] = []
    offsets = [0]
    known: dict[str, list[int]] = {}
    for row, labels in enumerate(rows):
        place = f"y[{row}]"
        if are_strings:
            [label] = labels
            if label not in known:
                known[label] = _path_columns(label, place, hierarchy, sep)
            columns.extend(known[label])
        else:
            columns.extend(sorted({_column(label, place, hierarchy) for label in labels}))
        offsets.append(len(columns))
    return sp.csr_array(
        (np.ones(len(columns), dtype=np.float32), np.asarray(columns, dtype=np.int64), np.asarray(offsets)),
        shape=(len(offsets) - 1, len(hierarchy)),
    )


def _path_columns(label: str, place: str, hierarchy: LabelHierarchy, sep: str) -> list[int]:
    """Return the columns of a label and its ancestors, or of the parts of a path, sorted."""
    ancestors = hierarchy.ancestors
    if label in hierarchy:
        column = hierarchy.index[label]
        above = ancestors.indices[ancestors.indptr[column] : ancestors.indptr[column + 1]]
        return sorted([column, *above.tolist()])
    parts = label.split(sep)
    if hierarchy.is_flat or len(parts) == 1:
        raise _unknown_label(label, place, hierarchy)
    if not all(part in hierarchy for part in parts):
        # It may be a misspelt label that itself contains the separator.
        if suggestion(label, [name for name in hierarchy.labels if sep in name]):
            raise _unknown_label(label, place, hierarchy)
        place = f"the path {label!r} of {place}"
    path = [_column(part, place, hierarchy) for part in parts]
    for above, below in pairwise(path):
        if not ancestors[below, above]:
            raise ValueError(
                f"{place} is {label!r}, but {hierarchy.labels[above]!r} is not an ancestor of "
                f"{hierarchy.labels[below]!r} in the hierarchy: write a path from the top down, or pass a "
                "set of labels."
            )
    return sorted(path)


def _column(label: str, place: str, hierarchy: LabelHierarchy) -> int:
    try:
        return hierarchy.index[label]
    except KeyError:
        raise _unknown_label(label, place, hierarchy) from None


def _encode_indicator(y: Any, hierarchy: LabelHierarchy) -> sp.csr_array:
    if hasattr(y, "columns"):
        y = _reorder_columns(y, hierarchy)
    else:
        _check_two_dimensions(y)
        if len(getattr(y, "shape", ())) != 2:
            y = np.asarray(nested_rows(y))
    if y.shape[1] != len(hierarchy):
        raise ValueError(
            f"y has {y.shape[1]} columns but there are {len(hierarchy)} labels "
            f"({', '.join(hierarchy.labels[:3])}, ...): pass one column per label, in the order of "
            "`classes=` or of the sorted labels."
        )
    if not sp.issparse(y):
        y = np.asarray(y)
        if y.dtype == object:
            y = _numbers(y)
    if y.dtype.kind not in "biuf":
        raise ValueError(f"Unknown label type: an indicator holds 0 and 1, not {y.dtype} entries.")
    if not sp.issparse(y):
        if y.dtype.kind == "f" and not np.isfinite(y).all():
            row, column = np.argwhere(~np.isfinite(y))[0]
            raise ValueError(f"Input y contains NaN or infinity, first at row {row}, column {column}.")
        # scipy has no sparse arrays of 16 bits.
        y = sp.csr_array(y.astype(np.float32) if y.dtype == np.float16 else y)
    # In the type of y: in 32 bits, 1 + 1e-9 is 1.
    entries = y.tocoo()
    odd = np.flatnonzero((entries.data != 0) & (entries.data != 1))
    if len(odd):
        raise ValueError(
            f"Unknown label type: row {entries.row[odd[0]]} of y holds {entries.data[odd[0]]} in the column "
            f"of {hierarchy.labels[entries.col[odd[0]]]!r}; an indicator holds only 0 and 1."
        )
    return as_indicator(y).astype(np.float32)


def _check_two_dimensions(y: Any) -> None:
    if sp.issparse(y) and y.ndim != 2:
        raise ValueError(
            f"y is a sparse array of shape {y.shape}: pass an indicator of shape (n, L), with one row for "
            "each text and one column for each label."
        )


def _numbers(y: np.ndarray) -> np.ndarray:
    """Return an array of objects, such as a DataFrame of several dtypes, as numbers; name what is none."""
    for (row, column), entry in np.ndenumerate(y):
        if not isinstance(entry, Number | np.bool_):
            raise ValueError(
                f"Unknown label type: row {row} of y holds {entry!r} in column {column}; an indicator holds "
                "only the numbers 0 and 1. Label names are passed as one set for each text."
            )
    return y.astype(np.float64)


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
    near = suggestion(label, hierarchy.labels)
    hint = f" Did you mean {near}?" if near else ""
    return ValueError(
        f"Label {label!r} in {place} is not among the {len(hierarchy)} known labels.{hint} "
        "Add it to `hierarchy` (or `classes`), or correct it."
    )
