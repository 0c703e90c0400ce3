"""Prediction with a trained network: texts in batches, results in the order of the texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from torch import Tensor

from skhimatch.network.base import HiMatchOutput, Network
from skhimatch.network.batches import FixedShortlist, InOrder, TextDataset
from skhimatch.network.encoders import TextReader
from skhimatch.progress import progress_bar
from skhimatch.text.sequences import Texts

__all__ = [
    "attention_of_text",
    "distances_to_labels",
    "embed_labels",
    "embed_texts",
    "in_chunks",
    "score_meaning_too",
    "score_texts",
]

# Texts in a batch: the (B, L, d_t) nodes have at most so many numbers, 64 MiB. No more than 32 texts, whose
# states fit into the processor's cache.
BATCH_NUMBERS = 2**24
MAX_BATCH_SIZE = 32
# Texts for which the products of words are computed together. More texts have more words in common.
TEXTS_PER_TABLE = 4096
# Number of texts from which on a progress bar is shown.
PROGRESS_BAR_FROM = 5_000
# Texts in a chunk: as many as have so many numbers, 32 MiB, but not too few for good speed. A prediction has
# several such arrays at a time.
CHUNK_NUMBERS = 2**23
MIN_CHUNK_SIZE = 256


def in_chunks(texts: Texts, numbers_per_text: int, *, progress: bool = False) -> Iterator[Any]:
    """Cut many texts into chunks, so that the results of all texts are never in memory at once.

    Parameters
    ----------
    texts : TokenSequences or SubwordSequences of n texts
        The texts.
    numbers_per_text : int
        How many numbers are computed for each text, such as L.
    progress : bool
        Show a progress bar if there are thousands of texts.

    Yields
    ------
    TokenSequences or SubwordSequences
        In the order of the texts.
    """
    size = max(MIN_CHUNK_SIZE, CHUNK_NUMBERS // numbers_per_text)
    if progress:
        # Several chunks, even if one would do, so that the bar moves.
        size = min(size, TEXTS_PER_TABLE)
    shown = progress and len(texts) >= PROGRESS_BAR_FROM
    with progress_bar(len(texts), "predict", shown=shown) as bar:
        for start in range(0, len(texts), size):
            chunk = texts[start : start + size]
            yield chunk
            bar.update(len(chunk))


def score_texts(
    network: Network, texts: Texts, shortlist: NDArray[np.int64] | None = None
) -> NDArray[np.float32]:
    """Return logits, float32 of shape (n, L).

    Parameters
    ----------
    network : Network
        On any device.
    texts : TokenSequences or SubwordSequences of n texts
        The texts.
    shortlist : int64 ndarray of shape (n, K), optional
        The labels to score for each text, all by default. The logits of the others are their biases.

    Returns
    -------
    float32 ndarray of shape (n, L)
    """
    return _score(network, texts, shortlist, lambda output: output.logits)


def score_meaning_too(
    network: Network, texts: Texts, shortlist: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return logits, and the cosines with the meanings of labels alone, in one pass over the texts.

    Parameters
    ----------
    network : Network
        On any device; one whose `scores_meaning` is true.
    texts, shortlist : as in `score_texts`
        The texts, and the labels to score for each.

    Returns
    -------
    logits : float32 ndarray of shape (n, L)
        As `score_texts` returns them.
    meaning : float32 ndarray of shape (n, L)
        The cosines; 0 for labels that are not on the shortlist.
    """
    both = _score(network, texts, shortlist, _logits_and_meaning)
    return both[:, : network.n_labels], both[:, network.n_labels :]


def _logits_and_meaning(output: HiMatchOutput) -> Tensor:
    assert output.meaning is not None
    return torch.cat([output.logits, output.meaning], dim=1)


def _score(
    network: Network,
    texts: Texts,
    shortlist: NDArray[np.int64] | None,
    of_output: Callable[[HiMatchOutput], Tensor],
) -> NDArray[np.float32]:
    def step(inputs: dict[str, Tensor], text_encoder: TextReader) -> Tensor:
        return of_output(network(**inputs, joint=False, text_encoder=text_encoder))

    width = network.n_labels if shortlist is None else shortlist.shape[1]
    dataset = TextDataset(
        network.text_encoder.input_of(texts),
        shortlist=None if shortlist is None else FixedShortlist(shortlist),
    )
    return _in_order(network, dataset, step, width * network.node_dimension)


def embed_texts(network: Network, texts: Texts) -> NDArray[np.float32]:
    """Return the texts' coordinates in the joint space (eq 3), unit rows.

    Parameters
    ----------
    network : Network
        On any device.
    texts : TokenSequences or SubwordSequences of n texts
        The texts.

    Returns
    -------
    float32 ndarray of shape (n, d_phi)
    """

    def step(inputs: dict[str, Tensor], text_encoder: TextReader) -> Tensor:
        return network.embed_text(*network.encode(**inputs, text_encoder=text_encoder))

    return _in_order(network, TextDataset(network.text_encoder.input_of(texts)), step, network.text_size)


def distances_to_labels(network: Network, texts: Texts) -> NDArray[np.float32]:
    """Return the distances D of texts and labels in the joint space.

    Parameters
    ----------
    network : Network
        On any device.
    texts : TokenSequences or SubwordSequences of n texts
        The texts.

    Returns
    -------
    float32 ndarray of shape (n, L), in [0, 2]
        With ``head="matching"``, those that the logits are computed from.
    """
    if not network.ranks_distances:
        return cdist(embed_texts(network, texts), embed_labels(network)).astype(np.float32)

    def step(inputs: dict[str, Tensor], text_encoder: TextReader) -> Tensor:
        """Return the distances of a batch."""
        distances = network(**inputs, joint=True, text_encoder=text_encoder).distances
        assert distances is not None
        return distances

    dataset = TextDataset(network.text_encoder.input_of(texts))
    return _in_order(network, dataset, step, network.n_labels * network.node_dimension)


@torch.inference_mode()
def attention_of_text(network: Network, text: Texts, labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return how much some labels attend to the states of one text.

    Parameters
    ----------
    network : Network
        On any device; its labels attend to states (`attends`).
    text : TokenSequences or SubwordSequences of one text
        The text.
    labels : int64 ndarray of shape (M,)
        The positions of different labels.

    Returns
    -------
    float32 ndarray of shape (M, n)
        Of the n states of the text; each row sums to 1, if there is a state. A network of words has a state
        for each word that it reads, a pretrained encoder for each subword and each special token.
    """
    if network.training:
        network.eval()
    inputs, _ = TextDataset(network.text_encoder.input_of(text)).batch(np.arange(1))
    ids, lengths = (inputs[name].to(network.device) for name in ("ids", "lengths"))
    encoded, lengths = network.encode(ids, lengths)
    weights = network.attention(encoded, lengths, torch.from_numpy(labels).to(network.device))
    return weights[0, :, : int(lengths[0])].cpu().numpy()


@torch.inference_mode()
def embed_labels(network: Network) -> NDArray[np.float32]:
    """Return the labels' coordinates in the joint space (eq 4), unit rows.

    Parameters
    ----------
    network : Network
        On any device.

    Returns
    -------
    float32 ndarray of shape (L, d_phi)
    """
    if network.training:
        network.eval()
    return network.embed_labels().cpu().numpy()


@torch.inference_mode()
def _in_order(
    network: Network,
    dataset: TextDataset,
    step: Callable[[dict[str, Tensor], TextReader], Tensor],
    numbers_per_text: int,
) -> NDArray[np.float32]:
    """Apply a step to batches of similar length, and put the results into the order of the texts."""
    if network.training:
        network.eval()
    device = network.device
    batch_size = max(1, min(MAX_BATCH_SIZE, BATCH_NUMBERS // numbers_per_text))
    batches = InOrder(dataset, batch_size)
    results = []
    for number, (inputs, _) in enumerate(batches):
        if number % (TEXTS_PER_TABLE // batch_size) == 0:
            coming = dataset.sequences
            if len(coming) > TEXTS_PER_TABLE:
                start = number * batch_size
                coming = coming[batches.order[start : start + TEXTS_PER_TABLE]]
            text_encoder = network.text_encoder.prepared_for(coming)
        moved = {name: tensor.to(device) for name, tensor in inputs.items()}
        results.append(step(moved, text_encoder).cpu().numpy())
    stacked = np.concatenate(results)
    ordered = np.empty_like(stacked)
    ordered[batches.order] = stacked
    return ordered
