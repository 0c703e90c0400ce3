"""Requests that wait: texts are predicted together, explanations are made one after the other."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import BoundedSemaphore, Lock

import numpy as np

from skhimatch.classifier import HiMatchClassifier
from skhimatch.explanation.results import Explanation
from skhimatch.predicted_labels import WantedLabels

__all__ = ["ExplanationQueue", "PredictionQueue", "QueueFullError"]

# Texts of several requests that are predicted together. More of them would be some percent faster, and one
# text that comes after them would wait longer.
TEXTS_TOGETHER = 256


class QueueFullError(Exception):
    """As many requests wait as may wait."""


@dataclass(frozen=True)
class _Request:
    texts: list[str]
    wanted: WantedLabels
    answer: Future[list[dict[str, float]]] = field(default_factory=Future)


class PredictionQueue:
    """Texts that wait for a prediction.

    One thread predicts. While it does, requests wait, and then those that have come are predicted together:
    one text takes 3 ms, and 32 of them 30 ms. More threads were no faster, since each of them predicted a
    smaller batch. The thread starts with the first request, so that a process can be forked before.

    Parameters
    ----------
    classifier : HiMatchClassifier
        A fitted classifier.
    max_texts : int
        How many texts may wait. Those that are being predicted do not count.
    """

    def __init__(self, classifier: HiMatchClassifier, max_texts: int) -> None:
        self._classifier = classifier
        self._max_texts = max_texts
        self._waiting: deque[_Request] = deque()
        self._n_texts = 0
        self._lock = Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="predict")

    @property
    def is_full(self) -> bool:
        """Whether not even one more text may wait."""
        return self._n_texts >= self._max_texts

    def submit(self, texts: list[str], wanted: WantedLabels) -> Future[list[dict[str, float]]]:
        """Let the texts of a request wait for their prediction.

        Parameters
        ----------
        texts : list of n str
            The texts.
        wanted : WantedLabels
            Which of their labels are wanted.

        Returns
        -------
        Future of a list of n dict of str to float
            The labels of each text with their probabilities.

        Raises
        ------
        QueueFullError
            When too many texts wait.
        """
        request = _Request(texts, wanted)
        with self._lock:
            if self._n_texts + len(texts) > self._max_texts:
                raise QueueFullError
            self._waiting.append(request)
            self._n_texts += len(texts)
        # One call for each request. The first one takes all that wait, and the others may find nothing.
        self._thread.submit(self._predict_together)
        return request.answer

    def _predict_together(self) -> None:
        requests = self._next_requests()
        if not requests:
            return
        try:
            answers = _answers(self._classifier, requests)
        except Exception as error:
            for request in requests:
                request.answer.set_exception(error)
        else:
            for request, answer in zip(requests, answers, strict=True):
                request.answer.set_result(answer)

    def _next_requests(self) -> list[_Request]:
        """Take the first request and as many of the next ones as are predicted together."""
        taken: list[_Request] = []
        n_texts = 0
        with self._lock:
            while self._waiting and (not taken or n_texts + len(self._waiting[0].texts) <= TEXTS_TOGETHER):
                request = self._waiting.popleft()
                self._n_texts -= len(request.texts)
                if request.answer.set_running_or_notify_cancel():
                    taken.append(request)
                    n_texts += len(request.texts)
        return taken


def _answers(classifier: HiMatchClassifier, requests: list[_Request]) -> list[list[dict[str, float]]]:
    """Predict the texts of all requests at once; decide at once for all that want labels in the same way."""
    probabilities = classifier.predict_proba([text for request in requests for text in request.texts])
    stops = np.cumsum([len(request.texts) for request in requests])
    rows = np.split(probabilities, stops[:-1])
    alike: dict[WantedLabels, list[int]] = {}
    for number, request in enumerate(requests):
        alike.setdefault(request.wanted, []).append(number)
    answers: list[list[dict[str, float]]] = [[] for _ in requests]
    for wanted, numbers in alike.items():
        found = wanted.of(classifier, np.concatenate([rows[number] for number in numbers]))
        for number in numbers:
            answers[number] = [next(found) for _ in requests[number].texts]
    return answers


class ExplanationQueue:
    """Texts that wait for an explanation, which takes as long as dozens or hundreds of predictions.

    They have a thread of their own, so that predictions do not wait for them: beside explanations a
    prediction took 10 ms, and 42 ms in the same thread.

    Parameters
    ----------
    classifier : HiMatchClassifier
        A fitted classifier.
    max_texts : int
        How many texts may wait or be explained.
    """

    def __init__(self, classifier: HiMatchClassifier, max_texts: int) -> None:
        self._classifier = classifier
        self._room = BoundedSemaphore(max_texts)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="explain")

    def submit(self, text: str) -> Future[Explanation]:
        """Let a text wait for its explanation.

        Parameters
        ----------
        text : str
            The text.

        Returns
        -------
        Future of an Explanation

        Raises
        ------
        QueueFullError
            When too many texts wait.
        """
        if not self._room.acquire(blocking=False):
            raise QueueFullError
        explanation = self._thread.submit(self._explain, text)
        explanation.add_done_callback(self._forget_cancelled)
        return explanation

    def _explain(self, text: str) -> Explanation:
        try:
            return self._classifier.explain(text)
        finally:
            # Before the answer is known: who has it may ask again.
            self._room.release()

    def _forget_cancelled(self, explanation: Future[Explanation]) -> None:
        if explanation.cancelled():
            self._room.release()
