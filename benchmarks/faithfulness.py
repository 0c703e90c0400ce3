"""Whether the words that an explanation names are those that the classifier decides by.

    python -m benchmarks.faithfulness --dataset wos

fits the default classifier and explains texts of the test part. The words that speak most for a label are
removed, and as many random words, several times. The results are in ``benchmarks/results/faithfulness.json``:
on which share of the texts the label's log-odds fall more without the named words.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import records
from benchmarks.accuracy import CORPORA, fit_himatch, load_corpus
from skhimatch import HiMatchClassifier
from skhimatch.explanation.results import WordEffect
from skhimatch.text.places import without_places

__all__ = ["Faithfulness", "measure", "random_words"]

FILE = records.RESULTS / "faithfulness.json"
# Texts that are explained, different words that are removed, and draws of random words for each text.
N_TEXTS, N_WORDS, N_DRAWS = 500, 5, 10


@dataclass(frozen=True)
class Faithfulness:
    """How much the log-odds of a label fall without the named words, and without random ones.

    Attributes
    ----------
    texts : int
        The number of texts.
    share : float
        On this share of the texts, they fall more without the named words than without random ones, on the
        average of the draws.
    share_of_all_draws : float
        On this share, they fall more than in each of the draws.
    named, random : float
        By how much they fall, the mean over the texts.
    removed : float
        The mean number of words that are removed, with their repetitions.
    without_named : int
        Texts in which no word speaks for the label. They count as not faithful.
    """

    texts: int
    share: float
    share_of_all_draws: float
    named: float
    random: float
    removed: float
    without_named: int


def measure(
    classifier: HiMatchClassifier,
    texts: Sequence[str],
    *,
    n_texts: int = N_TEXTS,
    n_words: int = N_WORDS,
    n_draws: int = N_DRAWS,
    seed: int = 0,
) -> Faithfulness:
    """Explain texts that the classifier was not trained on, and remove the words that are named.

    Parameters
    ----------
    classifier : HiMatchClassifier
        Fitted.
    texts : sequence of str
        They are used in random order, if they have at least twice as many words as are removed.
    n_texts : int
        How many texts are wanted.
    n_words : int
        How many different words are removed, the strongest ones that speak for the label.
    n_draws : int
        How often random words are removed from each text.
    seed : int
        Seeds the order of the texts, and the words.

    Returns
    -------
    Faithfulness
    """
    draws = np.random.RandomState(seed)
    named, at_random, removed, without_named = [], [], [], 0
    for row in draws.permutation(len(texts)).tolist():
        if len(named) + without_named == n_texts:
            break
        text = texts[row]
        label = _lowest_label(classifier, text)
        explained = classifier.explain(text, labels=[label])
        words = explained[label].words
        strongest = [word for word in words[:n_words] if word.effect > 0]
        number = sum(len(word.places) for word in strongest)
        if explained.n_words < 2 * max(number, n_words):
            continue
        if not strongest:
            without_named += 1
            continue
        drawn = [random_words(words, number, draws) for _ in range(n_draws)]
        shorter = [_without(text, part) for part in ([], strongest, *drawn)]
        column = classifier.hierarchy_.index[label]
        log_odds = classifier.decision_function(shorter)[:, column].astype(np.float64)
        falls = log_odds[0] - log_odds[1:]
        named.append(falls[0])
        at_random.append(falls[1:])
        removed.append(number)
    falls_named, falls_random = np.array(named), np.array(at_random).reshape(-1, n_draws)
    total = len(named) + without_named
    return Faithfulness(
        texts=total,
        share=float((falls_named > falls_random.mean(axis=1)).sum() / total),
        share_of_all_draws=float((falls_named > falls_random.max(axis=1)).sum() / total),
        named=float(falls_named.mean()),
        random=float(falls_random.mean()),
        removed=float(np.mean(removed)),
        without_named=without_named,
    )


def random_words(words: Sequence[WordEffect], number: int, draws: np.random.RandomState) -> list[WordEffect]:
    """Draw different words, until they occur as often in the text as wanted, or a little more often.

    Parameters
    ----------
    words : sequence of WordEffect
        All words of a text.
    number : int
        How many words are to be removed, with their repetitions.
    draws : RandomState
        Draws them.

    Returns
    -------
    list of WordEffect
    """
    found: list[WordEffect] = []
    for place in draws.permutation(len(words)).tolist():
        if sum(len(word.places) for word in found) >= number:
            break
        found.append(words[place])
    return found


def _without(text: str, words: Sequence[WordEffect]) -> str:
    return without_places(text, [place for word in words for place in word.places])


def _lowest_label(classifier: HiMatchClassifier, text: str) -> str:
    """Return the most probable of the lowest predicted labels, or of all leaves if none is predicted."""
    probabilities: NDArray[Any] = classifier.predict_proba([text])
    hierarchy = classifier.hierarchy_
    predicted = classifier.decide(probabilities).indices
    if not len(predicted):
        predicted = hierarchy.leaves
    levels = hierarchy.levels[predicted]
    lowest = predicted[levels == levels.max()]
    return str(hierarchy.labels[lowest[probabilities[0, lowest].argmax()]])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", required=True, choices=CORPORA)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    # Before the fit, so that a change of the code while it runs is not counted.
    origin = records.origin()
    corpus = load_corpus(arguments.dataset)
    classifier = fit_himatch(corpus, arguments.seed, {})
    found = measure(classifier, corpus.part("test")[0], seed=arguments.seed)
    contents: dict[str, Any] = json.loads(FILE.read_text()) if FILE.exists() else {}
    contents[arguments.dataset] = {
        "seed": arguments.seed,
        "words": N_WORDS,
        "draws": N_DRAWS,
        **asdict(found),
        **origin,
    }
    records.write(FILE, dict(sorted(contents.items())))
    print(f"{found.share:.1%} of {found.texts} texts")


if __name__ == "__main__":
    main()
