"""Corpora with a label hierarchy: one that needs no file, and readers of published corpora."""

from skhimatch.datasets.api_docs import load_api_docs
from skhimatch.datasets.corpus import Corpus
from skhimatch.datasets.eurlex57k import load_eurlex57k
from skhimatch.datasets.htc_json import load_htc_json
from skhimatch.datasets.rcv1 import load_rcv1
from skhimatch.datasets.wos import load_wos

__all__ = ["Corpus", "load_api_docs", "load_eurlex57k", "load_htc_json", "load_rcv1", "load_wos"]
