"""The negative labels of the matching loss, and their margins (eq 7)."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.network.random_numbers import RandomModule

__all__ = ["LabelPairs", "NegativeSampler"]

# So many labels are drawn for a random negative before all allowed ones are listed. Of thousands of labels
# the first one is nearly always allowed.
DRAWS = 8


@dataclass(frozen=True)
class LabelPairs:
    """M triples of a text t, a positive label p and a negative label n; p should be closer to t than n.

    Attributes
    ----------
    text, positive, negative : int64 tensors of shape (M,)
        Row of t in the batch, column of p and column of n.
    margin : float tensor of shape (M,)
        The margin of eq 7: how much farther n should be.
    """

    text: Tensor
    positive: Tensor
    negative: Tensor
    margin: Tensor

    def __len__(self) -> int:
        return len(self.text)

    def of_rows(self, start: int, stop: int) -> "LabelPairs":
        """Return the pairs of the texts from row `start` to row `stop - 1`, with rows counted from `start`.

        Parameters
        ----------
        start, stop : int
            Rows of the batch.

        Returns
        -------
        LabelPairs
        """
        mask = (self.text >= start) & (self.text < stop)
        return LabelPairs(
            self.text[mask] - start, self.positive[mask], self.negative[mask], self.margin[mask]
        )


class NegativeSampler(RandomModule):
    """Draw the negative labels of every fine-grained target (section 3.3.2).

    Positives p are the targets that have no descendant among the text's
    targets. With ``sampling="hierarchy"`` the negatives of p are

    - all its ancestors, tagged or not, with margin alpha * gamma,
    - one sibling, margin beta * gamma,
    - one random label, margin gamma,

    The sibling and the random label are drawn uniformly from the labels that are neither targets nor
    ancestors of targets. The random label is not a sibling of p either, unless only siblings remain. If there
    is no such label, then there is no pair.

    Parameters
    ----------
    hierarchy : LabelHierarchy
        L labels.
    gamma, alpha, beta : float
        Margins of eq 7. With alpha < beta siblings should be farther than ancestors.
    sampling : {"hierarchy", "random", "all"}
        "random" is the ablation: each p has as many negatives, drawn from the labels that are no targets, all
        with margin gamma. "all" takes every ancestor, every sibling and every other label, except for targets
        and their ancestors.
    """

    ancestor_offsets: Tensor
    ancestor_members: Tensor
    family_of: Tensor
    family_offsets: Tensor
    family_members: Tensor

    def __init__(
        self,
        hierarchy: LabelHierarchy,
        *,
        gamma: float = 0.2,
        alpha: float = 0.01,
        beta: float = 0.5,
        sampling: str = "hierarchy",
    ) -> None:
        super().__init__()
        self.gamma, self.alpha, self.beta, self.sampling = gamma, alpha, beta, sampling
        ancestors, families = hierarchy.ancestors, hierarchy.families
        tables = {
            "ancestor_offsets": ancestors.indptr,
            "ancestor_members": ancestors.indices,
            "family_of": families.of,
            "family_offsets": families.offsets,
            "family_members": families.members,
        }
        for name, table in tables.items():
            self.register_buffer(name, torch.from_numpy(np.array(table, dtype=np.int64)), persistent=False)

    def forward(self, targets: Tensor, scored: Tensor | None = None) -> LabelPairs:
        """Draw the pairs of a batch.

        Parameters
        ----------
        targets : tensor of shape (B, L)
            0/1 targets.
        scored : bool tensor of shape (B, L), optional
            The labels that may be in pairs, all by default.

        Returns
        -------
        LabelPairs
        """
        tagged = targets > 0
        above = self._above(tagged)
        fine, barred = tagged & ~above, tagged | above
        if scored is not None:
            fine, barred = fine & scored, barred | ~scored
        text, positive = fine.nonzero(as_tuple=True)
        row, member = self._families(positive)
        family = torch.zeros(len(positive), targets.shape[1], dtype=torch.bool, device=targets.device)
        family[row, member] = True
        allowed = ~barred[text[row], member]
        siblings = row[allowed], member[allowed]
        if self.sampling == "all":
            others = _others(family, barred[text]).nonzero(as_tuple=True)
        else:
            generator = self.generator(targets.device)
            siblings = _one_of_each(*siblings, len(positive), generator)
            others = _one_other(family, barred, text, generator)
        pairs, negatives = zip(
            _expand(self.ancestor_offsets, self.ancestor_members, positive), siblings, others, strict=True
        )
        # Eq 7.
        margins = self.alpha * self.gamma, self.beta * self.gamma, self.gamma
        margin = torch.cat(
            [
                torch.full(pair.shape, margin, device=targets.device)
                for pair, margin in zip(pairs, margins, strict=True)
            ]
        )
        pair, negative = torch.cat(pairs), torch.cat(negatives)
        if scored is not None:
            # Ancestors are negatives although they are barred, but they have to be scored.
            known = scored[text[pair], negative]
            pair, negative, margin = pair[known], negative[known], margin[known]
        if self.sampling == "random":
            allowed = ~tagged if scored is None else ~tagged & scored
            pair, negative = _redraw(pair, allowed[text], self.generator(targets.device))
            margin = torch.full(pair.shape, self.gamma, device=targets.device)
        return LabelPairs(text[pair], positive[pair], negative, margin)

    def _above(self, tagged: Tensor) -> Tensor:
        """Return a bool matrix: row i marks the ancestors of the labels in row i."""
        text, label = tagged.nonzero(as_tuple=True)
        row, ancestor = _expand(self.ancestor_offsets, self.ancestor_members, label)
        above = torch.zeros_like(tagged)
        above[text[row], ancestor] = True
        return above

    def _families(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """List each label and its siblings: its position in `labels`, once for each of them, and them."""
        family = self.family_of[labels]
        known = (family >= 0).nonzero().squeeze(1)
        row, member = _expand(self.family_offsets, self.family_members, family[known])
        return known[row], member


def _others(family: Tensor, barred: Tensor) -> Tensor:
    """Mark the labels that may be drawn at random; if only siblings remain, these."""
    others = ~family & ~barred
    return torch.where(others.any(1, keepdim=True), others, ~barred)


def _one_other(
    family: Tensor, barred: Tensor, text: Tensor, generator: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    """Draw one of the labels of `_others` for each row that has any, uniformly; return rows and labels."""
    drawn = torch.randint(family.shape[1], (len(family), DRAWS), device=family.device, generator=generator)
    allowed = ~family.gather(1, drawn) & ~barred[text[:, None], drawn]
    found, first = allowed.max(1)
    rows, rest = found.nonzero().squeeze(1), (~found).nonzero().squeeze(1)
    row, label = _others(family[rest], barred[text[rest]]).nonzero(as_tuple=True)
    row, label = _one_of_each(row, label, len(rest), generator)
    return torch.cat([rows, rest[row]]), torch.cat([drawn[rows, first[rows]], label])


def _one_of_each(
    rows: Tensor, labels: Tensor, n_rows: int, generator: torch.Generator | None
) -> tuple[Tensor, Tensor]:
    """Draw one of the labels that are listed for each row, uniformly; return rows and labels.

    The rows ascend, and those without a label are left out.
    """
    number = torch.bincount(rows, minlength=n_rows)
    kept = number.nonzero().squeeze(1)
    # In double precision: below 1, so that the product is below the number.
    chosen = torch.rand(len(kept), device=rows.device, dtype=torch.float64, generator=generator)
    place = (number.cumsum(0) - number)[kept] + (chosen * number[kept]).long()
    return kept, labels[place]


def _expand(offsets: Tensor, members: Tensor, owners: Tensor) -> tuple[Tensor, Tensor]:
    """List the members of each owner: its position in `owners`, once for each member, and the members."""
    starts, counts = offsets[owners], offsets[owners + 1] - offsets[owners]
    position = torch.repeat_interleave(torch.arange(len(owners), device=owners.device), counts)
    before = counts.cumsum(0) - counts
    within = torch.arange(len(position), device=owners.device) - before[position]
    return position, members[starts[position] + within]


def _redraw(rows: Tensor, allowed: Tensor, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """Draw one allowed column for each entry of `rows`; entries without any allowed column are dropped."""
    rows = rows[allowed.any(1)[rows]]
    if not len(rows):
        return rows, rows
    return rows, torch.multinomial(allowed[rows].to(torch.float32), 1, generator=generator).squeeze(1)
