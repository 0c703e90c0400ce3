import numpy as np
import pytest
import torch

from skhimatch.network.dropout import Dropout


@pytest.fixture(autouse=True)
def seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.mark.parametrize("p", [0.3, 0.5, 0.05])
def test_share_and_scale(p):
    features = torch.rand(100, 999) + 1
    found = Dropout(p)(features)
    kept = found != 0
    share = 1 - round(256 * p) / 256
    assert kept.float().mean().item() == pytest.approx(share, abs=4 * (share * p / kept.numel()) ** 0.5)
    torch.testing.assert_close(found[kept], features[kept] / share)


def test_features_drop_one_by_one():
    kept = (Dropout(0.5)(torch.ones(4000, 16)) != 0).numpy()
    # Neighbours share a random number, and yet are no more alike than others.
    assert np.abs(np.corrcoef(kept.T) - np.eye(16)).max() < 5 / 4000**0.5
    assert len(np.unique(kept, axis=0)) > 3500


def test_the_gradient_passes_where_features_do():
    features = torch.ones(50, 7, requires_grad=True)
    found = Dropout(0.25)(features)
    found.sum().backward()
    torch.testing.assert_close(features.grad, found.detach())


@pytest.mark.parametrize("shape", [(), (1,), (0, 3), (3, 5)])
def test_any_shape(shape):
    assert Dropout(0.5)(torch.ones(shape)).shape == shape


def test_rests_at_prediction_and_at_zero():
    features = torch.ones(3, 5)
    assert Dropout(0.5).eval()(features) is features
    assert Dropout(0.0)(features) is features


@pytest.mark.parametrize("p", [-0.1, 1.0, 1.5])
def test_no_probability(p):
    with pytest.raises(ValueError, match=f"dropout={p}: take a probability from 0 to 0.99"):
        Dropout(p)
