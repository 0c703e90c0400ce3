"""Measure the prediction of one text on a frozen encoder against the encoder alone.

    OMP_NUM_THREADS=1 python -m benchmarks.one_text

writes ``benchmarks/results/one_text.json``. The classifier is fitted on some texts with frozen MiniLM, stores
no vectors, and predicts single texts that it has not seen. The encoder alone gets the subwords of the same
texts, as the tokenizer of the model returns them. Both run in turn; figures are medians. Texts are docstrings
(the embedded corpus), and if SKHIMATCH_DATA is set, also abstracts (the Web of Science subset) and utterances
(CLINC150). With ``--quick`` a few docstrings are predicted.
"""

import argparse
import os
from collections.abc import Callable
from dataclasses import replace
from statistics import median
from typing import Any

import torch

from benchmarks import records
from benchmarks.accuracy import load_corpus, minilm_l6
from benchmarks.speed import in_turn
from benchmarks.speed_tables import ONE_TEXT
from skhimatch import HiMatchClassifier, PretrainedEncoder
from skhimatch.datasets import Corpus
from skhimatch.network.transformer import TransformerEncoder

TRAINING_TEXTS, TEXTS = 300, 100


def encoder_alone(encoder: TransformerEncoder) -> Callable[[list[str]], object]:
    """Return a function that encodes one text with the model, without anything of this package."""
    model, tokenizer = encoder.body.eval(), encoder.tokenizer

    @torch.inference_mode()
    def encode(texts: list[str]) -> object:
        subwords = tokenizer(texts, truncation=True, max_length=encoder.capacity + 2, return_tensors="pt")
        return model(**subwords).last_hidden_state.mean(1)

    return encode


def measure(corpus: Corpus, n_texts: int, n_training_texts: int) -> dict[str, Any]:
    """Return the median milliseconds of a prediction and of the encoder alone."""
    few = {part: rows[:n_training_texts] for part, rows in corpus.splits.items()}
    encoder = PretrainedEncoder(minilm_l6(), freeze="all", vector_store="never")
    classifier = HiMatchClassifier(
        corpus.hierarchy, encoder=encoder, max_epochs=1, validation_fraction=0.1, random_state=0
    ).fit(*replace(corpus, splits=few).part("train"))
    alone = [[text] for text in corpus.part("test")[0][:n_texts]]
    seconds = in_turn(
        {"encoder": encoder_alone(classifier.network_.text_encoder), "predict": classifier.predict}, alone
    )
    return {
        "dataset": corpus.name,
        "texts": n_texts,
        "words": median(len(text.split()) for [text] in alone),
        **{f"{name}_ms": 1000 * median(found) for name, found in seconds.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a few texts; the figures have no meaning")
    quick, origin = parser.parse_args().quick, records.origin("transformers")
    names = ["api-docs"] if quick or "SKHIMATCH_DATA" not in os.environ else ["wos", "api-docs", "clinc150"]
    sizes = (2, 48) if quick else (TEXTS, TRAINING_TEXTS)
    rows = [measure(load_corpus(name), *sizes) for name in names]
    records.write(ONE_TEXT, {"quick": quick, "rows": rows, **origin})
    for row in rows:
        print(row)


if __name__ == "__main__":
    main()
