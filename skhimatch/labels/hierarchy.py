"""Label hierarchies: ancestors, levels, siblings, edge priors and a drawing as text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from skhimatch.labels.checked_names import checked_edge, checked_labels
from skhimatch.labels.indicators import as_indicator
from skhimatch.labels.spelling import suggestion, warn_of_labels_that_look_alike

__all__ = ["Families", "LabelHierarchy"]

Positions = npt.NDArray[np.int64]


class Families(NamedTuple):
    """Siblings in compact form: labels with the same parents share a family.

    The members of family ``f`` are ``members[offsets[f]:offsets[f + 1]]``: all children of these
    parents, in label order. A label is a member of its own family.

    Attributes
    ----------
    of : ndarray of shape (L,), int64
        The family of each label. It is -1 in a flat hierarchy, which has no families.
    offsets : ndarray of shape (n_families + 1,), int64
        The start of each family in `members`.
    members : ndarray of shape (n_members,), int64
        Positions of labels, family after family.
    """

    of: Positions
    offsets: Positions
    members: Positions


class LabelHierarchy:
    """An immutable hierarchy of labels: a tree, a forest or any directed acyclic graph.

    The position of a label in `labels` is its column in an indicator. Arrays are read-only. They are
    computed at the first access.

    Parameters
    ----------
    edges : iterable of (parent, child)
        Pairs of label names. Repeated pairs count once.
    labels : sequence of str, default=None
        All labels in column order, also those without an edge. By default the sorted names in `edges`.
        :class:`~sklearn.preprocessing.MultiLabelBinarizer` has the same order.

    Attributes
    ----------
    labels : tuple of str, length L
        The labels in column order.
    edges : ndarray of shape (E, 2), int64
        Positions (parent, child), sorted by child, then parent.
    is_flat : bool
        Whether it was made by :meth:`flat`: labels without a hierarchy.

    Raises
    ------
    TypeError
        If a label is not a string or an edge is not a pair.
    ValueError
        If a label is empty or repeated in `labels`, an edge names a label outside `labels`, or the
        edges form a cycle.

    Warns
    -----
    UserWarning
        If two labels differ only by case, spaces or the Unicode form of their characters.

    Examples
    --------
    >>> from skhimatch.labels.hierarchy import LabelHierarchy
    >>> hierarchy = LabelHierarchy([("science", "physics"), ("science", "biology"), ("sport", "tennis")])
    >>> hierarchy
    LabelHierarchy(5 labels, 2 roots, 3 leaves, depth 2, tree)
    >>> print(hierarchy.to_text())
    science
    ├── biology
    └── physics
    sport
    └── tennis
    >>> hierarchy.labels
    ('biology', 'physics', 'science', 'sport', 'tennis')
    >>> hierarchy.levels
    array([2, 2, 1, 1, 2])
    """

    labels: tuple[str, ...]
    edges: Positions
    is_flat: bool

    def __init__(self, edges: Iterable[tuple[str, str]], labels: Sequence[str] | None = None):
        pairs = [checked_edge(edge, place) for place, edge in enumerate(edges)]
        if labels is None:
            names = tuple(sorted({name for pair in pairs for name in pair}))
        else:
            names = checked_labels(labels)
        index = {name: position for position, name in enumerate(names)}
        for pair in pairs:
            for name in pair:
                if name not in index:
                    raise ValueError(
                        f"the edge {pair[0]!r} -> {pair[1]!r} names {name!r}, which is not among labels; "
                        + _suggestion(name, names)
                    )
        positions = np.array([(index[a], index[b]) for a, b in pairs], dtype=np.int64).reshape(-1, 2)
        self._fill(names, positions, is_flat=False)
        warn_of_labels_that_look_alike(names)

    def _fill(self, labels: tuple[str, ...], edges: Positions, *, is_flat: bool) -> None:
        if not labels:
            raise ValueError("the hierarchy has no labels; give at least one edge, or labels=[...]")
        # One number per edge: np.unique sorts by (child, parent) and drops repeated edges.
        child, parent = np.divmod(np.unique(edges[:, 1] * len(labels) + edges[:, 0]), len(labels))
        self.__dict__.update(labels=labels, edges=_frozen(np.stack([parent, child], axis=1)), is_flat=is_flat)
        _ = self.levels  # raises on a cycle

    @classmethod
    def _from_positions(cls, labels: tuple[str, ...], edges: Positions, *, is_flat: bool) -> LabelHierarchy:
        hierarchy = cls.__new__(cls)
        hierarchy._fill(labels, edges, is_flat=is_flat)
        return hierarchy

    @classmethod
    def flat(cls, labels: Sequence[str]) -> LabelHierarchy:
        """Make a flat hierarchy: labels that have no edges and are not siblings of each other.

        Parameters
        ----------
        labels : sequence of str
            The labels in column order.

        Returns
        -------
        LabelHierarchy
            The flat hierarchy.

        Examples
        --------
        >>> LabelHierarchy.flat(["ham", "spam"])
        LabelHierarchy(2 labels, 2 roots, 2 leaves, depth 1, flat)
        """
        names = checked_labels(labels)
        warn_of_labels_that_look_alike(names)
        return cls._from_positions(names, np.empty((0, 2), dtype=np.int64), is_flat=True)

    @classmethod
    def restored(cls, labels: Sequence[str], edges: Any, *, is_flat: bool) -> LabelHierarchy:
        """Make a hierarchy again from what it consists of, without a warning of similar labels.

        Parameters
        ----------
        labels : sequence of str
            The labels, in column order.
        edges : array-like of int, shape (E, 2)
            The positions of parents and children.
        is_flat : bool
            The attribute of this name.

        Returns
        -------
        LabelHierarchy

        Raises
        ------
        TypeError, ValueError
            If a label is empty or repeated, or the edges form a cycle.

        Examples
        --------
        >>> hierarchy = LabelHierarchy([("science", "physics")])
        >>> LabelHierarchy.restored(hierarchy.labels, hierarchy.edges, is_flat=False) == hierarchy
        True
        """
        positions = np.array(edges, dtype=np.int64).reshape(-1, 2)
        return cls._from_positions(checked_labels(labels), positions, is_flat=is_flat)

    # Structure

    @cached_property
    def index(self) -> dict[str, int]:
        """Return the position of each label."""
        return {label: position for position, label in enumerate(self.labels)}

    @cached_property
    def parents(self) -> csr_array:
        """Return the parents of each label: csr_array of shape (L, L), bool, [child, parent]."""
        return self._relation(self.edges[:, 1], self.edges[:, 0])

    @cached_property
    def children(self) -> csr_array:
        """Return the children of each label: csr_array of shape (L, L), bool, [parent, child]."""
        return self._relation(self.edges[:, 0], self.edges[:, 1])

    @cached_property
    def ancestors(self) -> csr_array:
        """Return the ancestors of each label: csr_array of shape (L, L), bool, [label, ancestor].

        A label is not its own ancestor.
        """
        step = self.parents
        pairs = [step.nonzero()]
        while step.nnz:
            step = step @ self.parents
            pairs.append(step.nonzero())
        return self._relation(*np.concatenate(pairs, axis=1))

    @cached_property
    def _with_ancestors(self) -> csr_array:
        """Each label and its ancestors: csr_array of shape (L, L), bool."""
        label, ancestor = self.ancestors.nonzero()
        itself = np.arange(len(self))
        return self._relation(np.concatenate([itself, label]), np.concatenate([itself, ancestor]))

    @cached_property
    def descendants(self) -> csr_array:
        """Return the descendants of each label: csr_array of shape (L, L), bool, [label, descendant].

        A label is not its own descendant.
        """
        label, ancestor = self.ancestors.nonzero()
        return self._relation(ancestor, label)

    @cached_property
    def levels(self) -> Positions:
        """Return the level of each label: ndarray of shape (L,), int64.

        The level is 1 + the length of the longest path from a root.
        """
        level = [1] * len(self)
        unleveled = np.diff(self.parents.indptr).tolist()
        starts, below = self.children.indptr.tolist(), self.children.indices.tolist()
        order = [label for label, count in enumerate(unleveled) if not count]
        for label in order:  # the loop extends this list
            for child in below[starts[label] : starts[label + 1]]:
                level[child] = max(level[child], level[label] + 1)
                unleveled[child] -= 1
                if not unleveled[child]:
                    order.append(child)
        if len(order) < len(self):
            self._raise_cycle({label for label, count in enumerate(unleveled) if count})
        return _frozen(np.array(level, dtype=np.int64))

    @cached_property
    def roots(self) -> Positions:
        """Return the positions of the labels without a parent: ndarray of shape (n_roots,), int64."""
        return _frozen(np.flatnonzero(np.diff(self.parents.indptr) == 0))

    @cached_property
    def leaves(self) -> Positions:
        """Return the positions of the labels without a child: ndarray of shape (n_leaves,), int64."""
        return _frozen(np.flatnonzero(np.diff(self.children.indptr) == 0))

    @property
    def depth(self) -> int:
        """Return the number of levels."""
        return int(self.levels.max())

    @property
    def is_tree(self) -> bool:
        """Tell whether every label has at most one parent. A forest counts as a tree."""
        return bool(np.diff(self.parents.indptr).max() <= 1)

    @cached_property
    def families(self) -> Families:
        """Return the siblings in compact form. In a tree its size is linear in the number of edges.

        The roots are one family.

        Examples
        --------
        >>> hierarchy = LabelHierarchy([("science", "physics"), ("science", "biology"), ("sport", "tennis")])
        >>> hierarchy.labels
        ('biology', 'physics', 'science', 'sport', 'tennis')
        >>> hierarchy.families
        Families(of=array([0, 0, 1, 1, 2]), offsets=array([0, 2, 4, 5]), members=array([0, 1, 2, 3, 4]))
        """
        if self.is_flat:
            nowhere = np.full(len(self), -1, dtype=np.int64)
            return Families(_frozen(nowhere), _frozen(np.zeros(1, np.int64)), _frozen(np.zeros(0, np.int64)))
        numbers: dict[bytes, int] = {}
        of = np.array(
            [
                numbers.setdefault(self.parents.indices[start:stop].tobytes(), len(numbers))
                for start, stop in pairwise(self.parents.indptr)
            ],
            dtype=np.int64,
        )
        _, first_member = np.unique(of, return_index=True)
        shared = self.parents[first_member]
        members = shared @ self.children + _relation(of[self.roots], self.roots, (len(numbers), len(self)))
        members.sort_indices()
        return Families(
            _frozen(of),
            _frozen(members.indptr.astype(np.int64)),
            _frozen(members.indices.astype(np.int64)),
        )

    @cached_property
    def siblings(self) -> csr_array:
        """Return the labels that share a parent with each label: csr_array of shape (L, L), bool.

        The array is symmetric. A label is not its own sibling. Labels without a parent are siblings of
        each other, except in a :meth:`flat` hierarchy. The size is quadratic in the size of a family,
        see :attr:`families`.
        """
        if self.is_flat:
            return self._relation(np.empty(0, np.int64), np.empty(0, np.int64))
        of, offsets, members = self.families
        by_family = csr_array((np.ones(len(members), dtype=bool), members, offsets))
        rows, columns = by_family[of].nonzero()
        return self._relation(rows[rows != columns], columns[rows != columns])

    def _relation(self, rows: npt.NDArray[Any], columns: npt.NDArray[Any]) -> csr_array:
        return _relation(rows, columns, (len(self), len(self)))

    # Targets and labels

    def positions(self, labels: Iterable[str]) -> Positions:
        """Return the positions of labels.

        Parameters
        ----------
        labels : iterable of str
            Some of the labels.

        Returns
        -------
        ndarray of shape (n_labels,), int64
            The position of each.

        Raises
        ------
        ValueError
            If a label is unknown. The message suggests similar names.
        """
        found = []
        for label in labels:
            if label not in self.index:
                raise ValueError(f"the hierarchy has no label {label!r}; {_suggestion(label, self.labels)}")
            found.append(self.index[label])
        return np.array(found, dtype=np.int64)

    def top_down(self, labels: Positions) -> Positions:
        """Sort labels by their levels, from the roots down; labels on one level remain in their order.

        Parameters
        ----------
        labels : ndarray of int64
            Positions of labels.

        Returns
        -------
        ndarray of int64

        Examples
        --------
        >>> hierarchy = LabelHierarchy([("science", "physics"), ("science", "biology")])
        >>> hierarchy.top_down(np.array([0, 1, 2]))  # biology, physics, science
        array([2, 0, 1])
        """
        return labels[np.argsort(self.levels[labels], kind="stable")]

    def close(self, targets: Any) -> csr_array:
        """Add the ancestors of its labels to every row.

        Parameters
        ----------
        targets : array-like or sparse of shape (n, L)
            An indicator: 0 or 1.

        Returns
        -------
        csr_array of shape (n, L), bool
            The indicator with ancestors.

        Raises
        ------
        ValueError
            If `targets` is not a 0/1 array of L columns.

        Examples
        --------
        >>> hierarchy = LabelHierarchy([("science", "physics")])
        >>> hierarchy.close([[1, 0], [0, 1], [0, 0]]).toarray().astype(int)
        array([[1, 1],
               [0, 1],
               [0, 0]])
        """
        closed = as_indicator(targets, len(self)) @ self._with_ancestors
        closed.sort_indices()
        return closed

    def edge_priors(
        self,
        targets: Any,
        sample_weight: npt.NDArray[np.float64] | None = None,
        missing: csr_array | None = None,
    ) -> npt.NDArray[np.float64]:
        """Estimate P(child | parent) of every edge.

        The estimate is N(child) / N(parent), where N counts the texts with the label or a descendant of
        it. For a child without a text it is 1 / (N(parent) + number of children of the parent), so no
        estimate is zero.

        Parameters
        ----------
        targets : array-like or sparse of shape (n, L)
            An indicator: 0 or 1. Missing ancestors are added.
        sample_weight : ndarray of shape (n,), optional
            Weights of the texts; N is then the sum of the weights.
        missing : csr_array of shape (n, L), bool, optional
            Where it is not known whether a text has a label. Such a text is not counted in N(parent).

        Returns
        -------
        ndarray of shape (E,), float64
            Probabilities in (0, 1], in the order of `edges`.

        Raises
        ------
        ValueError
            If `targets` is not a 0/1 array of L columns.

        Examples
        --------
        >>> hierarchy = LabelHierarchy([("science", "physics"), ("science", "biology")])
        >>> hierarchy.labels
        ('biology', 'physics', 'science')
        >>> hierarchy.edge_priors([[0, 1, 1], [0, 1, 0], [0, 0, 1]])  # biology, physics given science
        array([0.2       , 0.66666667])
        """
        closed = self.close(targets)
        weights = None if sample_weight is None else np.repeat(sample_weight, np.diff(closed.indptr))
        texts = np.bincount(closed.indices, weights, minlength=len(self))
        parent, child = self.edges.T
        of_parent = texts[parent].astype(np.float64)
        if missing is not None:
            of_texts = np.ones(closed.shape[0]) if sample_weight is None else sample_weight
            uncertain = csr_array(missing > closed)
            together = (closed.T.astype(np.float64) @ (uncertain * of_texts[:, None])).tocsr()
            of_parent -= together[parent, child]
        unseen = 1 / (of_parent + np.diff(self.children.indptr)[parent])
        return np.where(texts[child] > 0, texts[child] / np.where(of_parent > 0, of_parent, 1), unseen)

    def restrict(self, labels: Sequence[str]) -> LabelHierarchy:
        """Keep exactly these labels, in this order.

        If the parents of a label are not kept, its nearest kept ancestors become its parents.

        Parameters
        ----------
        labels : sequence of str
            The labels to keep.

        Returns
        -------
        LabelHierarchy
            The hierarchy of these labels.

        Raises
        ------
        ValueError
            If a label is unknown or repeated.

        Examples
        --------
        >>> hierarchy = LabelHierarchy([("science", "physics"), ("physics", "optics")])
        >>> print(hierarchy.restrict(["science", "optics"]).to_text())
        science
        └── optics
        """
        names = checked_labels(labels)
        if names == self.labels:
            return self
        kept = self.positions(names)
        parents = self.parents[kept][:, kept]
        if len(names) < len(self):
            parents = parents + self._contracted(kept, parents)
        child, parent = parents.nonzero()
        return self._from_positions(
            names, np.stack([parent, child], axis=1).astype(np.int64), is_flat=self.is_flat
        )

    def _contracted(self, kept: Positions, parents: csr_array) -> csr_array:
        """Return the edges [child, parent] among the kept labels that replace paths over missing labels.

        Edges that follow from other edges are left out.
        """
        missing = np.setdiff1d(np.arange(len(self)), kept)
        inner = self.parents[missing][:, missing]
        exits = self.parents[missing][:, kept]
        climb = self.parents[kept][:, missing]
        reached = climb @ exits
        while climb.nnz:
            climb = climb @ inner
            reached = reached + climb @ exits
        implied = (parents + reached) @ self.ancestors[kept][:, kept]
        return reached > implied

    # Drawing

    def to_text(self, max_labels: int | None = None) -> str:
        """Draw the hierarchy as text.

        A label with several parents is drawn under each of them. Its descendants are drawn only the
        first time; after that, an ellipsis replaces them.

        Parameters
        ----------
        max_labels : int, default=None
            The maximum number of lines. By default all labels are drawn.

        Returns
        -------
        str
            One label per line.

        Examples
        --------
        >>> hierarchy = LabelHierarchy([("a", "c"), ("b", "c"), ("c", "d")])
        >>> print(hierarchy.to_text())
        a
        └── c
            └── d
        b
        └── c …
        >>> print(hierarchy.to_text(max_labels=2))
        a
        └── c
        … and 2 more labels
        """
        lines: list[str] = []
        drawn: set[int] = set()
        waiting = [(root, "", "") for root in self.roots[::-1].tolist()]
        starts = self.children.indptr
        while waiting and (max_labels is None or len(lines) < max_labels):
            label, branch, margin = waiting.pop()
            below = self.children.indices[starts[label] : starts[label + 1]][::-1].tolist()
            again = label in drawn and below
            lines.append(branch + self.labels[label] + (" …" if again else ""))
            drawn.add(label)
            if not again:
                for nth, child in enumerate(below):
                    branch, rest = ("├── ", "│   ") if nth else ("└── ", "    ")
                    waiting.append((child, margin + branch, margin + rest))
        if len(drawn) < len(self):
            lines.append(f"… and {_count(len(self) - len(drawn), 'more label')}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        kind = "flat" if self.is_flat else "tree" if self.is_tree else "DAG"
        return (
            f"LabelHierarchy({_count(len(self), 'label')}, {_count(len(self.roots), 'root')}, "
            f"{len(self.leaves)} {'leaf' if len(self.leaves) == 1 else 'leaves'}, depth {self.depth}, {kind})"
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __contains__(self, label: object) -> bool:
        return label in self.index

    def __iter__(self) -> Iterator[str]:
        return iter(self.labels)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, LabelHierarchy):
            return NotImplemented
        return (
            self.labels == other.labels
            and self.is_flat == other.is_flat
            and np.array_equal(self.edges, other.edges)
        )

    def __hash__(self) -> int:
        return hash((self.labels, self.edges.tobytes(), self.is_flat))

    # Immutable. Cached properties write to __dict__ directly, and a copy is the object itself.

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError(f"a LabelHierarchy is immutable; make a new one instead of setting {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a LabelHierarchy is immutable; {name!r} cannot be deleted")

    def __copy__(self) -> LabelHierarchy:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> LabelHierarchy:
        return self

    def __sklearn_clone__(self) -> LabelHierarchy:
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {"labels": self.labels, "edges": self.edges, "is_flat": self.is_flat}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        _frozen(self.edges)

    def _raise_cycle(self, unleveled: set[int]) -> NoReturn:
        # Every label without a level has a parent without a level.
        parent_of = {child: parent for parent, child in self.edges[::-1].tolist() if parent in unleveled}
        label = min(unleveled)
        trail: dict[int, None] = {}
        while label not in trail:
            trail[label] = None
            label = parent_of[label]
        upwards = list(trail)
        circle = [*upwards[upwards.index(label) :], label][::-1]
        drawn = " -> ".join(self.labels[position] for position in circle)
        if len(circle) == 2:
            raise ValueError(f"label {self.labels[label]!r} is its own parent; remove the edge {drawn}")
        raise ValueError(f"the hierarchy has a cycle: {drawn}; remove one of these edges")


def _frozen(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    array.setflags(write=False)
    return array


def _relation(rows: npt.NDArray[Any], columns: npt.NDArray[Any], shape: tuple[int, int]) -> csr_array:
    relation = csr_array((np.ones(len(rows), dtype=bool), (rows, columns)), shape=shape)
    relation.sum_duplicates()
    for part in (relation.data, relation.indices, relation.indptr):
        _frozen(part)
    return relation


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _suggestion(label: Any, known: tuple[str, ...]) -> str:
    similar = suggestion(label, known, n=3) if isinstance(label, str) else ""
    return f"did you mean {similar}?" if similar else "check its spelling, or add it"
