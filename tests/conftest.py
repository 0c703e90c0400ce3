"""One torch thread: tiny operations on two busy cores are many times slower with two."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MPLBACKEND", "Agg")

from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture
def real_data():
    """The folder of corpora and vectors that are not part of the project."""
    if "SKHIMATCH_DATA" not in os.environ:
        pytest.skip("SKHIMATCH_DATA does not name the folder of real data")
    return Path(os.environ["SKHIMATCH_DATA"])
