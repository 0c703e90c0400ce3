"""A corpus: labelled texts, their hierarchy and a fixed split."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skhimatch.evaluation.ranking import frequency_groups
from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.labels.targets import encode_targets

__all__ = ["Corpus"]


@dataclass(frozen=True, eq=False, repr=False)
class Corpus:
    """Labelled texts, their hierarchy and a fixed split.

    Attributes
    ----------
    name : str
        The name of the corpus.
    texts : list of str, length n
        The texts.
    label_sets : list of frozenset of str, length n
        The labels of each text.
    hierarchy : LabelHierarchy
        The hierarchy of the labels.
    splits : dict of str to ndarray of int64
        Positions in `texts` of ``"train"``, ``"validation"`` and ``"test"``.
    label_texts : dict of str to list of str, optional
        The names of each label, if labels are identifiers.

    Examples
    --------
    >>> hierarchy = LabelHierarchy([("science", "physics")])
    >>> corpus = Corpus("tiny", ["a wave"], [frozenset({"physics"})], hierarchy, {"train": np.array([0])})
    >>> corpus
    <Corpus tiny: 1 texts, 2 labels on 2 levels; train 1>
    >>> corpus.part("train")
    (['a wave'], [frozenset({'physics'})])
    """

    name: str
    texts: list[str]
    label_sets: list[frozenset[str]]
    hierarchy: LabelHierarchy
    splits: dict[str, NDArray[np.int64]]
    label_texts: dict[str, list[str]] | None = None

    def part(self, name: str) -> tuple[list[str], list[frozenset[str]]]:
        """Return the texts and label sets of one part of the split.

        Parameters
        ----------
        name : {"train", "validation", "test"}
            The name of the part.

        Returns
        -------
        texts : list of str
            The texts of the part.
        label_sets : list of frozenset of str
            The labels of each text.

        Raises
        ------
        ValueError
            If the corpus does not have this part.
        """
        if name not in self.splits:
            raise ValueError(f"The corpus {self.name} has no part {name!r}; it has {', '.join(self.splits)}.")
        rows = self.splits[name].tolist()
        return [self.texts[row] for row in rows], [self.label_sets[row] for row in rows]

    def frequency_groups(self, *, frequent: int = 50) -> dict[str, NDArray[np.int64]]:
        """Group the labels by their number of training texts.

        Parameters
        ----------
        frequent : int, default=50
            A label with more texts than this is frequent.

        Returns
        -------
        dict of str to ndarray of int64
            The positions of the labels of each group: ``"frequent"``, ``"few"`` (at least one text) and
            ``"zero"`` (no text).
        """
        _, label_sets = self.part("train")
        return frequency_groups(encode_targets(label_sets, self.hierarchy), frequent=frequent)

    def __len__(self) -> int:
        return len(self.texts)

    def __repr__(self) -> str:
        parts = ", ".join(f"{name} {len(rows):,}" for name, rows in self.splits.items())
        labels = f"{len(self.hierarchy):,} labels on {self.hierarchy.depth} levels"
        return f"<Corpus {self.name}: {len(self):,} texts, {labels}; {parts}>"
