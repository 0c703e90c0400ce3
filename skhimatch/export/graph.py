"""The prediction of a fitted ensemble as one torch module, from which the ONNX graph is made.

Sums over places that may be equal are written with `scatter_add` and not with `index_add`: that becomes the
operation ScatterND, which onnxruntime computes in several threads at once, so that numbers are lost.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from skhimatch.network.base import Network
from skhimatch.network.batches import padding_mask
from skhimatch.network.convolution import ConvolutionEncoder
from skhimatch.network.encoders import BidirectionalGRU
from skhimatch.network.label_attention import LabelAttention
from skhimatch.network.label_text_network import LabelTextNetwork
from skhimatch.network.pooling import MaxPooling, PooledEncoder
from skhimatch.network.propagation import HierarchyEdges
from skhimatch.scores.calibration import Calibration, IsotonicCalibration, LinearCalibration
from skhimatch.scores.ensemble import NAMES_IN_SHORTLIST, Ensemble
from skhimatch.scores.names import HALF_COUNT, LabelNames
from skhimatch.scores.ngram_classifier import NGramClassifier
from skhimatch.scores.path_choice import MAX_LOG_ODDS, PathChoice
from skhimatch.scores.stacking import StackingWeights
from skhimatch.text.sequences import PADDING_ID, UNKNOWN_ID

__all__ = ["EnsembleGraph"]

# The weights of n-grams are written as a dense matrix if it has at most so many numbers, 128 MiB. With 3,000
# texts of api-docs one text takes 2 ms then, and 8 ms with sparse weights; the file is twice as large.
MAX_DENSE = 2**25


class EnsembleGraph(nn.Module):
    """All steps from the words and the counted n-grams of texts to probabilities, in torch operations.

    Parameters
    ----------
    ensemble : Ensemble
        Trained, with a network of words only.
    """

    @torch.no_grad()
    def __init__(self, ensemble: Ensemble) -> None:
        super().__init__()
        self.network = NetworkGraph(ensemble.networks["words"].network)
        self.ngrams = None if ensemble.ngrams is None else NGramGraph(ensemble.ngrams)
        self.characters = None if ensemble.characters is None else NGramGraph(ensemble.characters)
        self.names = None if ensemble.names is None else NamesGraph(ensemble.names)
        self.shortlist_size = ensemble.shortlist_size if ensemble.networks["words"].uses_shortlist else None
        self.register_buffer("offsets", _of_words(ensemble.score_offsets))
        self.register_buffer("mean", _of_words(ensemble.mean_scores))
        stacking = ensemble.stacking
        self.stacking = PathGraph(stacking) if isinstance(stacking, PathChoice) else SumGraph(stacking)
        self.ancestors = None
        # `Ensemble.combine` limits a sum of scores, and calibrated log-odds.
        self.limits_sum = not stacking.one_path
        if ensemble.labels.closed and len(ensemble.labels.hierarchy.edges):
            self.ancestors = LowestAncestor(ensemble.labels.hierarchy.ancestors)
        self.calibration = None if ensemble.calibration is None else _calibration(ensemble.calibration)
        self.eval()
        # Behind `eval`, which empties caches.
        self.network.fill_caches()

    offsets: Tensor | None
    mean: Tensor | None

    def forward(
        self,
        words: Tensor,
        ngrams: Tensor | None = None,
        ngrams_counts: Tensor | None = None,
        characters: Tensor | None = None,
        characters_counts: Tensor | None = None,
    ) -> Tensor:
        """Return probabilities.

        Parameters
        ----------
        words : int64 tensor of shape (B, n)
            The ids of the words of each text, padded with 0 on the right.
        ngrams : int64 tensor of shape (B, m), optional
            The different n-grams of words of each text, as positions among the known ones.
        ngrams_counts : float32 tensor of shape (B, m), optional
            How often the text has each of them; 0 is padding.
        characters, characters_counts : as `ngrams` and `ngrams_counts`, of shape (B, c), optional
            The same for n-grams of characters.

        Returns
        -------
        float32 tensor of shape (B, L)
        """
        scores: dict[str, Tensor] = {}
        shortlist = None
        if self.ngrams is not None and self.names is not None:
            scores = {"ngrams": self.ngrams(ngrams, ngrams_counts), "names": self.names(words)}
            if self.shortlist_size is not None:
                likelihood = scores["ngrams"] + NAMES_IN_SHORTLIST * scores["names"]
                shortlist = likelihood.topk(self.shortlist_size, dim=1).indices
        if self.characters is not None:
            scores["characters"] = self.characters(characters, characters_counts)
        of_network = self.network(words, shortlist)
        if self.mean is not None:
            of_network = self.mean + _share_of_known(words)[:, None] * (of_network - self.mean)
        if self.offsets is not None and shortlist is not None:
            above = of_network.gather(1, shortlist) - _at(self.offsets, shortlist)
            of_network = torch.zeros_like(of_network).scatter(1, shortlist, above)
        scores["words"] = of_network
        log_odds = self.stacking(scores)
        if self.ancestors is not None and self.limits_sum:
            log_odds = self.ancestors(log_odds)
        if self.calibration is not None:
            log_odds = self.calibration(log_odds)
            if self.ancestors is not None:
                log_odds = self.ancestors(log_odds)
        limits = torch.finfo(torch.float32)
        return torch.sigmoid(log_odds).clamp(limits.tiny, 1 - limits.eps / 2)


class NetworkGraph(nn.Module):
    """A trained network of words.

    Parameters
    ----------
    network : Network
        A copy of it is used, on the CPU.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network: Any = copy.deepcopy(network).cpu().eval()
        encoder = self.network.text_encoder
        for module in [*encoder.modules()]:
            for name, child in module.named_children():
                if isinstance(child, BidirectionalGRU):
                    setattr(module, name, GRUGraph(child))
        propagation = getattr(self.network, "propagation", None)
        if propagation is not None:
            propagation.edges = EdgesGraph(propagation.edges)
        label_nodes = getattr(self.network, "label_nodes", None)
        if isinstance(label_nodes, LabelAttention):
            self.network.label_nodes = AttentionGraph(label_nodes)
        self.reader = _reader(encoder)
        pooling = getattr(encoder, "pooling", None)
        self.min_width = pooling.top_k if isinstance(pooling, MaxPooling) else 1
        # A network with texts of labels: their vectors are computed once, and are constants of the graph.
        self.semantics = (
            self.network.semantics().clone() if isinstance(self.network, LabelTextNetwork) else None
        )

    def fill_caches(self) -> None:
        """Let the network compute what it knows of labels, which become constants of the graph."""
        self.network(torch.ones(1, self.min_width, dtype=torch.int64), torch.ones(1, dtype=torch.int64))

    def forward(self, words: Tensor, shortlist: Tensor | None) -> Tensor:
        """Return logits of shape (B, L) of words of shape (B, n) and a shortlist of shape (B, K)."""
        words = nn.functional.pad(words, (0, self.min_width - 1))
        lengths = (words > PADDING_ID).sum(1)
        if self.semantics is not None and shortlist is None:
            encoded, lengths = self.network.encode(words, lengths, self.reader)
            return self.network.score(encoded, lengths, self.semantics)
        return self.network(words, lengths, shortlist, joint=False, text_encoder=self.reader).logits


class ConvolutionTable(nn.Module):
    """A trained convolution whose products of all words with each place of its window are in a table.

    Parameters
    ----------
    encoder : ConvolutionEncoder
        Trained.
    """

    products: Tensor
    bias: Tensor

    def __init__(self, encoder: ConvolutionEncoder) -> None:
        super().__init__()
        words = torch.arange(encoder.embedding.num_embeddings)
        self.register_buffer("products", encoder.products(words).detach().transpose(0, 1).contiguous())
        self.register_buffer("bias", encoder.bias.detach().clone())

    def read(self, ids: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return the states H, float of shape (B, n, d), of ids of shape (B, n), and the lengths."""
        reach = len(self.products) // 2
        padded = nn.functional.pad(ids, (reach, reach))
        states = self.bias
        for offset, products in enumerate(self.products):
            states = states + nn.functional.embedding(padded[:, offset : offset + ids.shape[1]], products)
        return torch.tanh(states), lengths


class PooledTable(nn.Module):
    """A convolution in a table, whose states become one vector for each text.

    Parameters
    ----------
    encoder : PooledEncoder
        Trained; its states are those of a `ConvolutionEncoder`.
    """

    def __init__(self, encoder: PooledEncoder) -> None:
        super().__init__()
        assert isinstance(encoder.states, ConvolutionEncoder)
        self.states = ConvolutionTable(encoder.states)
        self.pooling = encoder.pooling

    def read(self, ids: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return T, float of shape (B, d), of ids of shape (B, n), and the lengths."""
        return self.pooling(*self.states.read(ids, lengths)), lengths


class GRUGraph(nn.Module):
    """A GRU in both directions as one operation of ONNX. Without it the graph would be a loop over words.

    Parameters
    ----------
    gru : BidirectionalGRU
        Trained.
    """

    weight: Tensor
    recurrent: Tensor
    bias: Tensor

    def __init__(self, gru: BidirectionalGRU) -> None:
        super().__init__()
        if not hasattr(torch.onnx, "ops"):
            raise ValueError(
                f"to_onnx writes a GRU with torch 2.8 or later, and this is torch {torch.__version__}: "
                "install a later one, or fit a classifier with encoder='attention' or 'cnn'."
            )
        directions: tuple[Any, Any] = (gru.forward_gru, gru.backward_gru)
        self.hidden_size = gru.forward_gru.hidden_size
        self.register_buffer("weight", torch.stack([_gates(one.weight_ih_l0) for one in directions]))
        self.register_buffer("recurrent", torch.stack([_gates(one.weight_hh_l0) for one in directions]))
        biases = [torch.cat([_gates(one.bias_ih_l0), _gates(one.bias_hh_l0)]) for one in directions]
        self.register_buffer("bias", torch.stack(biases))

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Return the states H, float of shape (B, n, 2 * hidden_size), zero at padding, in an ONNX graph.

        torch itself does not compute this operation, and returns zeros.
        """
        n_texts, n_words = tokens.shape[:2]
        states = torch.onnx.ops.symbolic(
            "GRU",
            (tokens.transpose(0, 1), self.weight, self.recurrent, self.bias, lengths.to(torch.int32)),
            {"direction": "bidirectional", "hidden_size": self.hidden_size, "linear_before_reset": 1},
            dtype=tokens.dtype,
            shape=(n_words, 2, n_texts, self.hidden_size),
        )
        states = states.permute(2, 0, 1, 3).flatten(2)
        return states * padding_mask(lengths, n_words)[..., None]


class EdgesGraph(HierarchyEdges):
    """Edges of the hierarchy whose sums are a safe operation of ONNX.

    Parameters
    ----------
    edges : HierarchyEdges
        With the priors of the training targets.
    """

    def __init__(self, edges: HierarchyEdges) -> None:
        nn.Module.__init__(self)
        for name in ("parent", "child", "prior"):
            self.register_buffer(name, getattr(edges, name))

    def summed(self, messages: Tensor, at: Tensor, nodes: Tensor) -> Tensor:
        """Return the sums of messages, float of shape (B, E, d), at their labels, of shape (B, L, d)."""
        places = at[:, None].expand(messages.shape)
        return messages.new_zeros(nodes.shape).scatter_add(-2, places, messages)


class AttentionGraph(LabelAttention):
    """An attention of labels in plain operations: torch exports its own one for a fixed number of texts.

    Parameters
    ----------
    attention : LabelAttention
        Trained.
    """

    def __init__(self, attention: LabelAttention) -> None:
        nn.Module.__init__(self)
        self.queries = attention.queries

    def forward(self, states: Tensor, lengths: Tensor, labels: Tensor | None = None) -> Tensor:
        """Map states H of shape (B, n, d_t) to V_t of shape (B, L, d_t), or (B, K, d_t)."""
        return self.weights(states, lengths, labels) @ states


class NGramGraph(nn.Module):
    """The margins of a linear classifier on n-grams, from the counts of the n-grams of each text.

    Parameters
    ----------
    classifier : NGramClassifier
        Trained.
    """

    idf: Tensor
    bias: Tensor

    def __init__(self, classifier: NGramClassifier) -> None:
        super().__init__()
        weight = classifier.weight
        # The last row is one of no n-gram. Padding has it where there is no other.
        weight = sp.csr_array(sp.vstack([weight, sp.csr_array((1, weight.shape[1]))], format="csr"))
        self.register_buffer("idf", torch.from_numpy(np.append(classifier.ngrams.idf, np.float32(0))))
        self.register_buffer("bias", _tensor(classifier.bias, np.float32))
        dense = weight.shape[0] * weight.shape[1] <= MAX_DENSE
        self.sums = DenseRows(weight) if dense else SparseRows(weight)

    def forward(self, ngrams: Tensor, counts: Tensor) -> Tensor:
        """Return margins of shape (B, L) of n-grams and their counts, of shape (B, m)."""
        present = counts > 0
        values = (1 + torch.log(counts.clamp(min=1))) * _at(self.idf, ngrams) * present
        squares = (values * values).sum(1, keepdim=True)
        values = values / torch.where(squares > 0, squares, 1).sqrt()
        return self.sums(ngrams, values) + self.bias


class DenseRows(nn.Module):
    """Weighted sums of rows of a matrix.

    Parameters
    ----------
    matrix : csr_array of shape (F, L)
        The rows.
    """

    matrix: Tensor

    def __init__(self, matrix: sp.csr_array) -> None:
        super().__init__()
        self.register_buffer("matrix", _tensor(matrix.toarray(), np.float32))

    def forward(self, rows: Tensor, weights: Tensor) -> Tensor:
        """Return sums of shape (B, L) of rows and their weights, of shape (B, m)."""
        return (weights[:, None] @ nn.functional.embedding(rows, self.matrix)).squeeze(1)


class SparseRows(nn.Module):
    """Weighted sums of rows of a matrix of which only the entries that are not 0 are stored.

    The entries of all rows of all texts are put behind each other, and each is added to the sum of its text
    and column.

    Parameters
    ----------
    matrix : csr_array of shape (F, L)
        The rows.
    """

    start: Tensor
    number: Tensor
    column: Tensor
    entry: Tensor

    def __init__(self, matrix: sp.csr_array) -> None:
        super().__init__()
        self.n_columns = matrix.shape[1]
        self.register_buffer("start", _tensor(matrix.indptr[:-1], np.int64))
        self.register_buffer("number", _tensor(np.diff(matrix.indptr), np.int64))
        self.register_buffer("column", _tensor(matrix.indices, np.int32))
        self.register_buffer("entry", _tensor(matrix.data, np.float32))

    def forward(self, rows: Tensor, weights: Tensor) -> Tensor:
        """Return sums of shape (B, L) of rows and their weights, of shape (B, m)."""
        n_texts, width = rows.shape
        number = (_at(self.number, rows) * (weights != 0)).flatten()
        ends = number.cumsum(0)
        begins = ends - number
        total: Any = number.sum().item()
        torch._check(total >= 0)
        # From the number of entries of each row to the row of each entry. A row without entries begins where
        # the next one does, or behind the last entry.
        marks = torch.zeros(total + 1, dtype=torch.int64).scatter_add(0, begins, torch.ones_like(number))
        row = marks.cumsum(0)[:-1] - 1
        first = _at(self.start, rows).flatten() - begins
        place = torch.arange(total) + first.index_select(0, row)
        text = (torch.arange(n_texts)[:, None] * self.n_columns).expand(n_texts, width).flatten()
        target = text.index_select(0, row) + self.column.index_select(0, place).to(torch.int64)
        added = self.entry.index_select(0, place) * weights.flatten().index_select(0, row)
        sums = torch.zeros(n_texts * self.n_columns).scatter_add(0, target, added)
        return sums.reshape(n_texts, self.n_columns)


class NamesGraph(nn.Module):
    """The scores of the labels' names, from the words of texts.

    Parameters
    ----------
    names : LabelNames
        Of the training texts.
    """

    place: Tensor
    mean: Tensor
    deviation: Tensor
    label: Tensor

    def __init__(self, names: LabelNames) -> None:
        super().__init__()
        self.n_labels = names.neighbours.shape[0]
        self.known = names.known
        if not self.known:
            return
        # Only the prefixes that names have are counted; any other has the place 0, which is not used.
        used, column = np.unique(names.names.indices, return_inverse=True)
        place = np.zeros(len(names.prefixes.idf), dtype=np.int64)
        place[used] = np.arange(1, len(used) + 1)
        place[0] = 0
        self.n_used = len(used)
        self.register_buffer("place", _tensor(place[names.prefixes.prefix_of_word], np.int64))
        parts = (names.names.data, column, names.names.indptr)
        self.shares = Columns(sp.csr_array(parts, shape=(len(names.label), len(used))))
        mean, deviation = names.share_statistics
        self.register_buffer("mean", _tensor(mean, np.float32))
        self.register_buffer("deviation", _tensor(deviation, np.float32))
        self.register_buffer("label", _tensor(names.label, np.int64))
        self.neighbours = Columns(names.neighbours) if names.neighbours.nnz else None

    def forward(self, words: Tensor) -> Tensor:
        """Return scores of shape (B, L) of words of shape (B, n)."""
        n_texts = words.shape[0]
        if not self.known:
            return torch.zeros(n_texts, self.n_labels)
        place = _at(self.place, words)
        counts = torch.zeros(n_texts, self.n_used + 1).scatter_add(1, place, torch.ones_like(place).float())
        strengths = (counts / (counts + HALF_COUNT))[:, 1:]
        scores = (self.shares(strengths) - self.mean) / self.deviation
        lowest = torch.full((n_texts, self.n_labels), -torch.inf)
        best = lowest.scatter_reduce(1, self.label.expand(n_texts, -1), scores, "amax")
        best = torch.where(torch.isinf(best), 0, best)
        return best if self.neighbours is None else best + self.neighbours(best)


class Columns(nn.Module):
    """Sums of columns with constant weights: ``x @ matrix.T`` for a sparse matrix.

    Parameters
    ----------
    matrix : csr_array of shape (M, N)
        The weights.
    dtype : torch.dtype
        Of the weights, and of x.
    """

    source: Tensor
    target: Tensor
    weight: Tensor

    def __init__(self, matrix: sp.csr_array, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        entries = matrix.tocoo()
        self.size = matrix.shape[0]
        self.register_buffer("source", _tensor(entries.col, np.int64))
        self.register_buffer("target", _tensor(entries.row, np.int64))
        self.register_buffer("weight", torch.from_numpy(entries.data).to(dtype))

    def forward(self, x: Tensor) -> Tensor:
        """Map x of shape (B, N) to sums of shape (B, M)."""
        sums = torch.zeros(x.shape[0], self.size, dtype=x.dtype)
        added = x.index_select(1, self.source) * self.weight
        return sums.scatter_add(1, self.target.expand(x.shape[0], -1), added)


class LowestAncestor(nn.Module):
    """Lower the log-odds of labels to those of their ancestors.

    Parameters
    ----------
    ancestors : csr_array of shape (L, L)
        The ancestors of each label.
    """

    label: Tensor
    ancestor: Tensor

    def __init__(self, ancestors: sp.csr_array) -> None:
        super().__init__()
        entries = ancestors.tocoo()
        self.register_buffer("label", _tensor(entries.row, np.int64))
        self.register_buffer("ancestor", _tensor(entries.col, np.int64))

    def forward(self, log_odds: Tensor) -> Tensor:
        """Map log-odds of shape (B, L) to log-odds of shape (B, L)."""
        labels = self.label.expand(log_odds.shape[0], -1)
        return log_odds.scatter_reduce(1, labels, log_odds.index_select(1, self.ancestor), "amin")


class SumGraph(nn.Module):
    """The weighted sum of the scores of each label.

    Parameters
    ----------
    stacking : StackingWeights
        Learned, or the default.
    """

    constant: Tensor

    def __init__(self, stacking: StackingWeights) -> None:
        super().__init__()
        self.weights = {name: stacking.of_labels(name) for name in stacking.weights}
        constant: Any = np.float32(stacking.intercept)
        if stacking.frequency is not None:
            constant = constant + np.float32(stacking.slope) * stacking.frequency
        self.register_buffer("constant", torch.as_tensor(np.asarray(constant, dtype=np.float32)))

    def forward(self, scores: dict[str, Tensor]) -> Tensor:
        """Return log-odds of shape (B, L) of scores of this shape."""
        log_odds = self.constant
        for name, weight in self.weights.items():
            log_odds = log_odds + torch.as_tensor(np.asarray(weight)) * scores[name]
        return log_odds


class PathGraph(nn.Module):
    """The choice of one path, in double precision as in `PathChoice`.

    Parameters
    ----------
    choice : PathChoice
        Learned.
    """

    end: Tensor
    inner: Tensor
    child: Tensor
    parent: Tensor

    def __init__(self, choice: PathChoice) -> None:
        super().__init__()
        paths = choice.paths
        self.choice = choice
        self.n_paths = len(paths.ends)
        self.register_buffer("end", _tensor(paths.ends, np.int64))
        self.register_buffer("inner", torch.from_numpy(choice.inner * paths.inner.astype(np.float64)))
        self.above = Columns(paths.above)
        self.of_labels = Columns(paths.labels.T.tocsr(), torch.float64)
        children = paths.hierarchy.children[paths.ends].tocoo()
        self.register_buffer("child", _tensor(children.col, np.int64))
        self.register_buffer("parent", _tensor(children.row, np.int64))

    def forward(self, scores: dict[str, Tensor]) -> Tensor:
        """Return log-odds of shape (B, L) of scores of this shape."""
        choice, logits = self.choice, self.inner
        for name in choice.weights:
            of_labels = scores[name]
            n_texts = of_labels.shape[0]
            logits = logits + choice.weights[name] * of_labels.index_select(1, self.end).to(torch.float64)
            if choice.above[name]:
                logits = logits + choice.above[name] * self.above(of_labels).to(torch.float64)
            if choice.beyond[name] and len(self.child):
                lowest = torch.full((n_texts, self.n_paths), -torch.inf)
                parents = self.parent.expand(n_texts, -1)
                highest = lowest.scatter_reduce(1, parents, of_labels.index_select(1, self.child), "amax")
                highest = torch.where(torch.isinf(highest), 0, highest)
                logits = logits - choice.beyond[name] * highest.to(torch.float64)
        if choice.nothing is not None:
            logits = nn.functional.pad(logits, (0, 1), value=choice.nothing)
        of_paths = torch.softmax(logits, dim=1)[:, : self.n_paths]
        limit = float(1 / (1 + np.exp(MAX_LOG_ODDS)))
        probabilities = self.of_labels(of_paths).clamp(limit, 1 - limit)
        return (torch.log(probabilities) - torch.log1p(-probabilities)).to(torch.float32)


class LinearCalibrationGraph(nn.Module):
    """A slope and an intercept for each label, in double precision.

    Parameters
    ----------
    calibration : LinearCalibration
        Learned.
    """

    slope: Tensor
    intercept: Tensor

    def __init__(self, calibration: LinearCalibration) -> None:
        super().__init__()
        self.register_buffer("slope", _tensor(calibration.slope, np.float64))
        self.register_buffer("intercept", _tensor(calibration.intercept, np.float64))

    def forward(self, log_odds: Tensor) -> Tensor:
        """Map log-odds of shape (B, L) to log-odds of shape (B, L)."""
        return (self.slope * log_odds.to(torch.float64) + self.intercept).to(torch.float32)


class IsotonicCalibrationGraph(nn.Module):
    """A rising function for each label, as a sum over the pieces between its knots, in double precision.

    Parameters
    ----------
    calibration : IsotonicCalibration
        Learned.
    """

    share: Tensor
    lowest: Tensor
    left: Tensor
    width: Tensor

    def __init__(self, calibration: IsotonicCalibration) -> None:
        super().__init__()
        first, end = calibration.pointers[:-1], calibration.pointers[1:]
        lowest = np.zeros(len(first))
        known = end > first
        lowest[known] = calibration.values[first[known]]
        # A piece is between two knots of one label.
        piece = np.setdiff1d(np.arange(len(calibration.knots)), end[known] - 1)
        label = np.repeat(np.arange(len(first)), end - first)[piece]
        self.register_buffer("share", _tensor(calibration.share, np.float64))
        self.register_buffer("lowest", _tensor(lowest, np.float64))
        self.register_buffer("label", _tensor(label, np.int64))
        self.register_buffer("left", _tensor(calibration.knots[piece], np.float64))
        width = calibration.knots[piece + 1] - calibration.knots[piece]
        self.register_buffer("width", _tensor(np.maximum(width, np.finfo(np.float64).tiny), np.float64))
        places = (np.arange(len(piece)), (label, np.arange(len(piece))))
        rise = calibration.values[piece + 1] - calibration.values[piece]
        self.sums = Columns(
            sp.coo_array((rise, places[1]), shape=(len(first), len(piece))).tocsr(), torch.float64
        )

    label: Tensor

    def forward(self, log_odds: Tensor) -> Tensor:
        """Map log-odds of shape (B, L) to log-odds of shape (B, L)."""
        before = log_odds.to(torch.float64)
        done = ((before.index_select(1, self.label) - self.left) / self.width).clamp(0, 1)
        rising = self.lowest + self.sums(done)
        positive = self.share * rising + (1 - self.share) * torch.sigmoid(before)
        negative = self.share * (1 - rising) + (1 - self.share) * torch.sigmoid(-before)
        calibrated = (torch.log(positive) - torch.log(negative)).to(torch.float32)
        return torch.where(self.share > 0, calibrated, log_odds)


def _calibration(calibration: Calibration) -> nn.Module:
    if isinstance(calibration, LinearCalibration):
        return LinearCalibrationGraph(calibration)
    return IsotonicCalibrationGraph(calibration)


def _reader(encoder: nn.Module) -> Any:
    """Return what reads texts faster than the encoder, and without operations that ONNX lacks, or None."""
    if isinstance(encoder, ConvolutionEncoder):
        return ConvolutionTable(encoder)
    if isinstance(encoder, PooledEncoder) and isinstance(encoder.states, ConvolutionEncoder):
        return PooledTable(encoder)
    return None


def _at(values: Tensor, places: Tensor) -> Tensor:
    """Return ``values[places]`` of values of shape (N,); torch writes the latter as a slower operation."""
    return values.index_select(0, places.flatten()).reshape(places.shape)


def _gates(rows: Tensor) -> Tensor:
    """Put the rows of the three gates of a GRU in the order of ONNX: update, reset, new state."""
    reset, update, new = rows.detach().chunk(3)
    return torch.cat([update, reset, new])


def _share_of_known(words: Tensor) -> Tensor:
    """Return the share of each text's words that are in the vocabulary, 0 for a text without a word."""
    known = (words > UNKNOWN_ID).sum(1).to(torch.float32)
    return known / (words > PADDING_ID).sum(1).clamp(min=1).to(torch.float32)


def _of_words(by_network: Any) -> Tensor | None:
    found = None if by_network is None else by_network.get("words")
    return None if found is None else torch.from_numpy(np.asarray(found, dtype=np.float32))


def _tensor(array: NDArray[Any], dtype: Any) -> Tensor:
    return torch.from_numpy(np.array(array, dtype=dtype))
