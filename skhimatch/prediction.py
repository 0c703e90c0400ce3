"""Texts through a trained network, batch by batch, back in their order."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm  # comes with skorch

from skhimatch.batching import InOrder, TextDataset
from skhimatch.network import HiMatchNetwork
from skhimatch.sequences import TokenSequences

__all__ = ["embed_labels", "embed_texts", "score_texts"]

# Texts a batch: as many as keep the (B, L, d_t) nodes within 64 MiB, at most 64, whose states fit the cache.
NODE_NUMBERS = 2**24
PROGRESS_BAR_FROM = 5_000


def score_texts(network: HiMatchNetwork, texts: TokenSequences, *, progress: bool = False) -> np.ndarray:
    """Return logits, float32 of shape (n, L).

    Parameters
    ----------
    network : HiMatchNetwork
        On whatever device it lies.
    texts : TokenSequences of n texts
    progress : bool
        Show a bar where there are thousands of texts.
    """
    return _in_order(
        network, texts, lambda ids, lengths: network(ids, lengths, joint=False).logits, progress=progress
    )


def embed_texts(network: HiMatchNetwork, texts: TokenSequences, *, progress: bool = False) -> np.ndarray:
    """Return joint-embedding coordinates (eq 3), float32 of shape (n, d_phi), unit rows.

    Parameters
    ----------
    network, texts, progress
        As in `score_texts`.
    """
    return _in_order(
        network,
        texts,
        lambda ids, lengths: network.embed_text(network.text_semantics(ids, lengths)),
        progress=progress,
    )


@torch.inference_mode()
def embed_labels(network: HiMatchNetwork) -> np.ndarray:
    """Return the labels' joint-embedding coordinates (eq 4), float32 of shape (L, d_phi)."""
    network.eval()
    return network.embed_labels().cpu().numpy()


@torch.inference_mode()
def _in_order(
    network: HiMatchNetwork,
    texts: TokenSequences,
    step: Callable[[Tensor, Tensor], Tensor],
    *,
    progress: bool,
) -> np.ndarray:
    network.eval()
    device = network.label_vectors.device
    numbers = len(network.label_vectors) * network.node_dimension
    batches = InOrder(TextDataset(texts), batch_size=max(1, min(64, NODE_NUMBERS // numbers)))
    results = []
    with tqdm(
        total=len(texts), unit="text", desc="predict", disable=not progress or len(texts) < PROGRESS_BAR_FROM
    ) as bar:
        for inputs, _ in batches:
            results.append(step(inputs["ids"].to(device), inputs["lengths"].to(device)).cpu().numpy())
            bar.update(len(inputs["lengths"]))
    stacked = np.concatenate(results)
    ordered = np.empty_like(stacked)
    ordered[batches.order] = stacked
    return ordered
