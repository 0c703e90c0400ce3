"""A classifier that is fitted in a fraction of a second, and texts for it."""

import pytest
import torch
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted
from skorch.callbacks import Callback
from toy_corpus import HIERARCHY, QUICK, SMALL_RCNN, WORDS, binarize, make_corpus

from skhimatch import HiMatchClassifier
from skhimatch.training.net import NonFiniteLossError

LABELS = sorted(WORDS)
TEXTS, LABEL_SETS = make_corpus(60)
INDICATOR = binarize(LABEL_SETS)
UNSEEN, UNSEEN_SETS = make_corpus(40, seed=1)
RCNN = {"encoder": "rcnn", "net_params": SMALL_RCNN}


def quick(hierarchy=HIERARCHY, **parameters):
    """Return an unfitted classifier that trains in a fraction of a second."""
    return HiMatchClassifier(hierarchy, **QUICK | parameters)


def assert_same_weights(left, right):
    left, right = left.network_.state_dict(), right.network_.state_dict()
    assert left.keys() == right.keys()
    for name in left:
        assert torch.equal(left[name], right[name]), name


class Trouble(Callback):
    """Raise an error before a batch, or poison the weights so that its loss is NaN."""

    def __init__(self, error, epoch, batch):
        self.error = error
        self.epoch = epoch
        self.batch = batch

    def on_batch_begin(self, net, training=False, **kwargs):
        if training and (len(net.history), len(net.history[-1, "batches"])) == (self.epoch, self.batch):
            if self.error is not NonFiniteLossError:
                raise self.error("trouble")
            with torch.no_grad():
                net.module_.head.bias.fill_(torch.nan)


def assert_unfitted(classifier):
    with pytest.raises(NotFittedError):
        check_is_fitted(classifier)
    with pytest.raises(NotFittedError):
        classifier.predict(UNSEEN)
    assert not [name for name in vars(classifier) if name.endswith("_")]
