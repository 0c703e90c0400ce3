"""`RowAdam` against ``torch.optim.Adam``, which updates all rows in every step."""

import copy

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback, GradientNormClipping, LRScheduler
from torch import nn
from toy_corpus import HIERARCHY, QUICK, SMALL_GRU, SMALL_WITHOUT_NODES, make_corpus

from skhimatch import HiMatchClassifier
from skhimatch.training import loop
from skhimatch.training.row_adam import ClipGradients, RowAdam, updates_rows, word_tables

N_ROWS = 40
TEXTS, LABELS = make_corpus(60)


def tables():
    """Return two equal tables, the first of which has sparse gradients."""
    torch.manual_seed(0)
    dense = nn.Embedding(N_ROWS, 5, padding_idx=0).double()
    sparse = copy.deepcopy(dense)
    sparse.sparse = True
    return sparse, dense


def batches(n_steps, seed=0):
    """Return the rows that are read in each step: some often, some rarely, some never."""
    draws = np.random.RandomState(seed)
    return [torch.from_numpy((draws.rand(12) ** 3 * (N_ROWS - 5)).astype(int)) for _ in range(n_steps)]


def loss_of(table, rows):
    """Return a loss that pulls rows here and there, so that their momentum matters."""
    wanted = torch.linspace(-1, 2, 5) * (len(rows.unique()) - 8 + rows.sum() % 7)[..., None]
    return (table(rows) - wanted).pow(2).sum()


@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.5, 0.9), (0.0, 0.99)])
def test_late_updates_are_those_of_adam(betas):
    sparse, dense = tables()
    late = RowAdam(sparse.parameters(), lr=0.1, betas=betas)
    exact = torch.optim.Adam(dense.parameters(), lr=0.1, betas=betas)
    for step, rows in enumerate(batches(400)):
        # A schedule: the rate changes in every step.
        for optimizer in (late, exact):
            optimizer.param_groups[0]["lr"] = 0.1 * np.sin(1 + step / 100) ** 2
        late.catch_up(sparse.weight, rows.unique())
        torch.testing.assert_close(sparse(rows), dense(rows), atol=1e-6, rtol=1e-5)
        for table, optimizer in ((sparse, late), (dense, exact)):
            optimizer.zero_grad()
            loss_of(table, rows).backward()
            optimizer.step()
    stale = sparse.weight.clone()
    late.catch_up(sparse.weight)
    assert (stale - sparse.weight).abs().max() > 1e-3 or betas[0] == 0
    torch.testing.assert_close(sparse.weight, dense.weight, atol=1e-6, rtol=1e-5)
    for name in ("exp_avg", "exp_avg_sq"):
        moments = late.state[sparse.weight][name], exact.state[dense.weight][name]
        torch.testing.assert_close(*moments, atol=1e-8, rtol=1e-6)


def test_a_state_goes_on_in_either_optimizer():
    sparse, dense = tables()
    late = RowAdam(sparse.parameters(), lr=0.1)
    for rows in batches(30):
        late.zero_grad()
        late.catch_up(sparse.weight, rows.unique())
        loss_of(sparse, rows).backward()
        late.step()
    late.catch_up(sparse.weight)
    dense.load_state_dict(sparse.state_dict())
    exact = torch.optim.Adam(dense.parameters(), lr=0.1)
    exact.load_state_dict(copy.deepcopy(late.state_dict()))
    again = RowAdam(sparse.parameters(), lr=0.1)
    again.load_state_dict(copy.deepcopy(late.state_dict()))
    for rows in batches(30, seed=1):
        again.catch_up(sparse.weight, rows.unique())
        for table, optimizer in ((sparse, again), (dense, exact)):
            optimizer.zero_grad()
            loss_of(table, rows).backward()
            optimizer.step()
    again.catch_up(sparse.weight)
    torch.testing.assert_close(sparse.weight, dense.weight, atol=1e-6, rtol=1e-5)


def test_other_weights_are_updated_by_adam():
    sparse, dense = tables()
    layers = nn.Linear(5, 2).double(), nn.Linear(5, 2).double()
    layers[1].load_state_dict(layers[0].state_dict())
    late = RowAdam([{"params": sparse.parameters(), "lr": 0.2}, {"params": layers[0].parameters()}], lr=0.1)
    exact = torch.optim.Adam(
        [{"params": dense.parameters(), "lr": 0.2}, {"params": layers[1].parameters()}], lr=0.1
    )
    for rows in batches(20):
        late.catch_up(sparse.weight, rows.unique())
        for table, layer, optimizer in ((sparse, layers[0], late), (dense, layers[1], exact)):

            def closure(table=table, layer=layer, optimizer=optimizer, rows=rows):
                optimizer.zero_grad()
                loss = layer(table(rows)).pow(2).sum()
                loss.backward()
                return loss

            assert optimizer.step(closure).item() > 0
    torch.testing.assert_close(layers[0].weight, layers[1].weight, atol=1e-6, rtol=1e-5)
    late.catch_up(sparse.weight)
    torch.testing.assert_close(sparse.weight, dense.weight, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("norm", [1e-3, 1e3])
def test_sparse_gradients_are_clipped_as_dense_ones(norm):
    sparse, dense = tables()
    layer = nn.Linear(5, 2).double()
    rows = torch.tensor([3, 3, 7, 0])
    for table in (sparse, dense):
        layer.zero_grad()
        layer(table(rows)).pow(2).sum().backward()
        named = [("table", table.weight), *layer.named_parameters(), ("unused", nn.Parameter(torch.ones(1)))]
        if table is sparse:
            ClipGradients(norm).on_grad_computed(None, named_parameters=named)
            of_layer = layer.weight.grad.clone()
        else:
            nn.utils.clip_grad_norm_([weight for _, weight in named], norm)
    torch.testing.assert_close(sparse.weight.grad.to_dense(), dense.weight.grad)
    torch.testing.assert_close(of_layer, layer.weight.grad)


class ReadsGradients(Callback):
    def on_grad_computed(self, net, **kwargs):
        """Do nothing."""


class WithinAnEpoch(Callback):
    def on_batch_end(self, net, **kwargs):
        """Do nothing."""


@pytest.mark.parametrize(
    ("optimizer", "arguments", "callbacks", "expected"),
    [
        (torch.optim.Adam, {"fused": True}, [], True),
        (torch.optim.Adam, {"betas": (0.5, 0.9), "eps": 1e-6}, [Callback(), ("named", Callback)], True),
        (torch.optim.Adam, {"weight_decay": 0.1}, [], False),
        # Their momentum lasts for more steps than are followed, or forever.
        (torch.optim.Adam, {"betas": (0.99, 0.999)}, [], False),
        (torch.optim.Adam, {"betas": (0.95, 0.9)}, [], False),
        (torch.optim.Adam, {"betas": (0.9, 0.0)}, [], False),
        (torch.optim.AdamW, {}, [], False),
        (torch.optim.Adam, {}, [WithinAnEpoch()], False),
        (torch.optim.Adam, {}, [("named", WithinAnEpoch)], False),
        # One works on gradients, the other may change the momentum.
        (torch.optim.Adam, {}, [GradientNormClipping()], False),
        (torch.optim.Adam, {}, [LRScheduler()], False),
    ],
)
def test_when_rows_are_updated(optimizer, arguments, callbacks, expected):
    assert updates_rows(optimizer, arguments, callbacks) == expected


@pytest.mark.parametrize("betas", [(0.92 * 0.9, 0.81), (0.919, 0.999)])
def test_the_longest_momentum_is_followed_to_its_end(betas):
    assert updates_rows(torch.optim.Adam, {"betas": betas}, [])
    sparse, dense = tables()
    late = RowAdam(sparse.parameters(), lr=0.01, betas=betas)
    exact = torch.optim.Adam(dense.parameters(), lr=0.01, betas=betas)
    rare, often = torch.tensor([5, 6]), torch.tensor([1, 2])
    for step in range(400):
        rows = rare if step % 390 == 0 else often
        late.catch_up(sparse.weight, rows)
        for table, optimizer in ((sparse, late), (dense, exact)):
            optimizer.zero_grad()
            loss_of(table, rows).backward()
            optimizer.step()
    late.catch_up(sparse.weight)
    torch.testing.assert_close(sparse.weight, dense.weight, atol=1e-6, rtol=1e-5)


def fit(**settings):
    return HiMatchClassifier(HIERARCHY, **QUICK | {"max_epochs": 4} | settings).fit(TEXTS, LABELS)


class Optimizer(Callback):
    def on_train_begin(self, net, **kwargs):
        """Remember the optimizer, and whether the gradients of word vectors are sparse."""
        self.found = type(net.optimizer_), net.module_.text_encoder.embedding.sparse


@pytest.mark.parametrize("encoder", ["attention", "gru"])
@pytest.mark.parametrize("max_epochs", [1, 4])
def test_a_fit_is_as_with_adam(monkeypatch, encoder, max_epochs):
    small = {"encoder": encoder, "max_epochs": max_epochs}
    if encoder == "gru":
        small["net_params"] = SMALL_GRU
    by_rows = fit(**small, callbacks=[optimizer := Optimizer()])
    assert optimizer.found == (RowAdam, True)
    monkeypatch.setattr(loop, "updates_rows", lambda *_: False)
    exact = fit(**small, callbacks=[optimizer := Optimizer()])
    assert optimizer.found == (torch.optim.Adam, False)
    for name, weight in by_rows.network_.state_dict().items():
        torch.testing.assert_close(weight, exact.network_.state_dict()[name], atol=2e-4, rtol=1e-3, msg=name)
    np.testing.assert_allclose(by_rows.predict_proba(TEXTS), exact.predict_proba(TEXTS), atol=1e-3)


def test_a_fitted_network_is_trained_on_with_any_optimizer():
    classifier = fit()
    network = classifier.partial_fit(TEXTS, LABELS).network_
    assert not network.text_encoder.embedding.sparse
    network.train()
    network(torch.tensor([[2, 3]]), torch.tensor([2])).logits.sum().backward()
    torch.optim.AdamW(network.parameters()).step()


def test_labels_that_read_words_have_dense_gradients():
    classifier = fit(head="dot", net_params=SMALL_WITHOUT_NODES, callbacks=[optimizer := Optimizer()])
    assert word_tables(classifier.network_) == []
    assert optimizer.found == (RowAdam, False)


def test_validation_scores_are_those_of_adam(monkeypatch):
    found = []
    for by_rows in (True, False):
        monkeypatch.setattr(loop, "updates_rows", lambda *_, by_rows=by_rows: by_rows)
        found.append([epoch["valid_loss"] for epoch in fit().history_])
    np.testing.assert_allclose(*found, rtol=1e-4)


@pytest.mark.parametrize("moment", ["on_epoch_end", "on_train_end"])
def test_callbacks_read_words_that_are_up_to_date(monkeypatch, moment):
    found = []
    for by_rows in (True, False):
        monkeypatch.setattr(loop, "updates_rows", lambda *_, by_rows=by_rows: by_rows)
        weights = []

        class Read(Callback):
            pass

        def read(self, net, weights=weights, **kwargs):
            weights.append(net.module_.text_encoder.embedding.weight.detach().clone())

        setattr(Read, moment, read)
        fit(callbacks=[Read()])
        found.append(torch.stack(weights))
    torch.testing.assert_close(*found, atol=2e-4, rtol=1e-3)


def test_an_interruption_leaves_the_best_epoch_as_it_was(monkeypatch):
    class Interrupt(Callback):
        """Stop in the middle of the third epoch; remember the weights of the others."""

        def on_epoch_end(self, net, **kwargs):
            """Keep the weights."""
            self.weights = [*getattr(self, "weights", []), copy.deepcopy(net.module_.state_dict())]

    step, steps = loop.RowAdam.step, []

    def stop_at_last(self, closure=None):
        steps.append(1)
        if len(steps) == 9:
            raise KeyboardInterrupt
        return step(self, closure)

    monkeypatch.setattr(loop.RowAdam, "step", stop_at_last)
    interrupt = Interrupt()
    classifier = fit(callbacks=[interrupt])
    assert classifier.n_iter_ == 2
    found = classifier.network_.state_dict()
    assert any(
        all(torch.equal(found[name], weight) for name, weight in weights.items())
        for weights in interrupt.weights
    )
