"""Texts through a trained network, batch by batch, back in their order."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm  # comes with skorch

from skhimatch.network.batches import FixedShortlist, InOrder, TextDataset
from skhimatch.network.build import Network
from skhimatch.network.encoders import ConvolutionEncoder
from skhimatch.network.encodings import encode_once
from skhimatch.network.transformer import TransformerEncoder
from skhimatch.text.sequences import PADDING_ID, SubwordSequences, Texts, TokenSequences, words_of

__all__ = ["embed_labels", "embed_texts", "in_blocks", "read_by", "score_texts"]

Encode = Callable[[Tensor, Tensor], Tensor]

# Texts a batch: as many as keep the (B, L, d_t) nodes within 64 MiB, at most 32, whose states fit the cache.
NODE_NUMBERS = 2**24
TEXTS_AT_ONCE = 32
# Texts whose words are multiplied together; more texts have more words in common.
TEXTS_OF_A_TABLE = 4096
PROGRESS_BAR_FROM = 5_000
# A block of texts: as many as have so many numbers, 128 MiB of them, but no fewer than is worth the while.
NUMBERS_OF_A_BLOCK = 2**25
FEWEST_OF_A_BLOCK = 256


def in_blocks(texts: Texts, numbers_of_a_text: int, *, progress: bool = False) -> Iterator[Any]:
    """Cut many texts into blocks, so that what is said of all of them is never in memory at once.

    Parameters
    ----------
    texts : TokenSequences or SubwordSequences of n texts
    numbers_of_a_text : int
        How many numbers a text comes to, such as L.
    progress : bool
        Show a bar where there are thousands of texts.

    Yields
    ------
    TokenSequences or SubwordSequences
        In the order of the texts.
    """
    size = max(FEWEST_OF_A_BLOCK, NUMBERS_OF_A_BLOCK // numbers_of_a_text)
    if progress:
        # Several of them even where one would do, for something to be seen.
        size = min(size, TEXTS_OF_A_TABLE)
    shown = progress and len(texts) >= PROGRESS_BAR_FROM
    with tqdm(total=len(texts), unit="text", desc="predict", disable=not shown) as bar:
        for start in range(0, len(texts), size):
            block = texts[start : start + size]
            yield block
            bar.update(len(block))


def score_texts(network: Network, texts: Texts, shortlist: NDArray[np.int64] | None = None) -> np.ndarray:
    """Return logits, float32 of shape (n, L).

    Parameters
    ----------
    network : HiMatchNetwork or LabelTextNetwork
        On whatever device it lies.
    texts : TokenSequences or SubwordSequences of n texts
    shortlist : int64 ndarray of shape (n, K), optional
        The labels to look at in each text, all by default; the logits of the others are their biases.
    """

    def step(inputs: dict[str, Tensor], text_encoder: Encode) -> Tensor:
        return network(**inputs, joint=False, text_encoder=text_encoder).logits

    width = network.n_labels if shortlist is None else shortlist.shape[1]
    return _in_order(
        network,
        TextDataset(texts, shortlist=None if shortlist is None else FixedShortlist(shortlist)),
        step,
        width * network.node_dimension,
    )


def embed_texts(network: Network, texts: Texts) -> np.ndarray:
    """Return joint-embedding coordinates (eq 3), float32 of shape (n, d_phi), unit rows.

    Parameters
    ----------
    network, texts
        As in `score_texts`.
    """

    def step(inputs: dict[str, Tensor], text_encoder: Encode) -> Tensor:
        return network.embed_text(*network.encode(**inputs, text_encoder=text_encoder))

    return _in_order(network, TextDataset(texts), step, network.text_size)


@torch.inference_mode()
def embed_labels(network: Network) -> np.ndarray:
    """Return the labels' joint-embedding coordinates (eq 4), float32 of shape (L, d_phi)."""
    network.eval()
    return network.embed_labels().cpu().numpy()


@torch.inference_mode()
def _in_order(
    network: Network,
    dataset: TextDataset,
    step: Callable[[dict[str, Tensor], Encode], Tensor],
    numbers_of_a_text: int,
) -> np.ndarray:
    network.eval()
    device = network.device
    dataset.sequences = read_by(network, dataset.sequences)
    batch_size = max(1, min(TEXTS_AT_ONCE, NODE_NUMBERS // numbers_of_a_text))
    batches = InOrder(dataset, batch_size)
    results = []
    for number, (inputs, _) in enumerate(batches):
        if number % (TEXTS_OF_A_TABLE // batch_size) == 0:
            start = number * batch_size
            coming = dataset.sequences[batches.order[start : start + TEXTS_OF_A_TABLE]]
            text_encoder = _encoder_for(network, coming)
        moved = {name: tensor.to(device) for name, tensor in inputs.items()}
        results.append(step(moved, text_encoder).cpu().numpy())
    stacked = np.concatenate(results)
    ordered = np.empty_like(stacked)
    ordered[batches.order] = stacked
    return ordered


def read_by(network: Network, texts: Any) -> Any:
    """Return what a network reads of texts: their words, or subwords, or what a frozen encoder made of them.

    Parameters
    ----------
    network : HiMatchNetwork or LabelTextNetwork
    texts : TokenSequences or SubwordSequences of n texts

    Returns
    -------
    TokenSequences or SubwordSequences
        With the encodings of a frozen encoder, which reads each text but once.
    """
    encoder = network.text_encoder
    if not isinstance(encoder, TransformerEncoder):
        return words_of(texts)
    if not encoder.frozen or texts.encodings is not None:
        return texts
    return SubwordSequences(texts.subwords, texts.words, encode_once(encoder, texts.subwords))


def _encoder_for(network: Network, texts: Texts) -> Encode:
    """Return the network's encoder, prepared for the words of these texts."""
    encoder = network.text_encoder
    if not isinstance(encoder, ConvolutionEncoder) or not isinstance(texts, TokenSequences):
        return encoder
    words = np.union1d(texts.ids, [PADDING_ID]).astype(np.int64)
    return encoder.tabulated(torch.from_numpy(words).to(network.device))
