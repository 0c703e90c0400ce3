"""Compare weights and times of HiMatch and HiAGM-TP at the paper's sizes (section 4.3.5).

    python -m benchmarks.complexity

writes ``benchmarks/results/complexity.json``. Both networks train on the same batches of 64 texts of WOS, in
turn.
"""

from itertools import islice
from statistics import median
from typing import Any

import numpy as np
import torch

from benchmarks import records
from benchmarks.accuracy import load_corpus
from benchmarks.paper import COMPLEXITY
from benchmarks.speed import Stepper, in_turn
from skhimatch.labels.targets import encode_targets
from skhimatch.network.base import Network
from skhimatch.network.batches import LengthBuckets, TextDataset
from skhimatch.network.build import WordNetworkSettings, build_word_network
from skhimatch.network.objective import HiMatchLoss
from skhimatch.settings import paper_settings
from skhimatch.text.words import WordTokenizer

STEPS = 15


def predict(network: Network, batch: dict[str, torch.Tensor]) -> None:
    """Score a batch as prediction does: without the joint space."""
    network.eval()
    with torch.inference_mode():
        network(batch["ids"], batch["lengths"], joint=False)


def measure() -> dict[str, dict[str, Any]]:
    """Return the number of weights, and the median time of a training step and of a prediction."""
    corpus = load_corpus("wos")
    texts, label_sets = corpus.part("train")
    sequences = WordTokenizer().fit_transform(texts)
    dataset = TextDataset(sequences, encode_targets(label_sets, corpus.hierarchy, len(texts)))
    settings = paper_settings("wos")
    sizes = {name.removeprefix("module__"): value for name, value in settings["net_params"].items()}
    losses = {
        "HiAGM-TP": HiMatchLoss(corpus.hierarchy, lambda_joint=0, lambda_match=0),
        "HiMatch": HiMatchLoss(corpus.hierarchy, lambda_joint=1, lambda_match=1),
    }
    networks = {}
    for name in losses:
        torch.manual_seed(0)
        networks[name] = build_word_network(
            corpus.hierarchy,
            WordNetworkSettings(
                vocabulary_size=len(sequences.vocabulary),
                encoder=settings["encoder"],
                head=settings["head"],
                propagation=settings["propagation"],
                **sizes,
            ),
        )
    batches = list(islice(LengthBuckets(dataset, settings["batch_size"]), STEPS))
    stepping = in_turn({name: Stepper(networks[name], losses[name]) for name in losses}, batches)
    predicting = in_turn(
        {name: lambda batch, name=name: predict(networks[name], batch[0]) for name in losses}, batches
    )
    joint_only = ("text_projection", "label_vectors", "label_encoder", "label_projection")
    found = {}
    for name in losses:
        counted = [
            weight.numel()
            for part, weight in networks[name].named_parameters()
            if losses[name].needs_joint_space or not part.startswith(joint_only)
        ]
        found[name] = {
            "parameters": int(np.sum(counted)),
            "step_seconds": median(stepping[name]),
            "predict_seconds": median(predicting[name]),
        }
    return found


def main() -> None:
    origin = records.origin()
    records.write(COMPLEXITY, measure() | origin)
    print(COMPLEXITY.read_text())


if __name__ == "__main__":
    main()
