"""A trained network as a scorer."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.labels.texts import LabelTexts
from skhimatch.network.base import Network
from skhimatch.network.build import (
    NetworkSettings,
    WordNetworkSettings,
    build_pretrained_network,
    build_word_network,
)
from skhimatch.network.encodings import encode
from skhimatch.network.predict import score_meaning_too, score_texts
from skhimatch.network.random_numbers import seeded_construction
from skhimatch.network.transformer import TransformerEncoder
from skhimatch.scores.state import ScorerState
from skhimatch.storage.arrays import check_finite, of_shape
from skhimatch.storage.values import check, from_json
from skhimatch.text.pretrained import WORD_ENCODERS, PretrainedEncoder
from skhimatch.text.sequences import Texts

__all__ = ["NetworkScorer"]

# The prefix of the weights of a pretrained encoder, which are written in the format of transformers.
ENCODER_WEIGHTS = "text_encoder.body."
# The options of settings; see `NetworkSettings`.
OPTIONS: Mapping[str, tuple[str | None, ...]] = {
    "propagation": (None, "gcn", "gated"),
    "head": ("auto", "matching", "labelwise", "flat", "dot"),
    "encoder": WORD_ENCODERS,
    "pooling": ("auto", "attention", "shared_attention", "max"),
}


@dataclass(frozen=True, eq=False)
class NetworkScorer:
    """A network and the settings from which an equal one is built.

    Attributes
    ----------
    network : Network
        Trained in place.
    settings : NetworkSettings
        `WordNetworkSettings` for a network of words.
    """

    network: Network
    settings: NetworkSettings

    def __getstate__(self) -> dict[str, Any]:
        """Return what pickles and copies hold: networks are moved to the CPU, which every machine has."""
        network = self.network
        if network.device.type != "cpu":
            network = copy.deepcopy(network).cpu()
        return {"network": network, "settings": self.settings}

    @property
    def uses_shortlist(self) -> bool:
        """Whether the network can score a shortlist of each text's labels."""
        return self.network.scores_labels_separately

    @property
    def scores_meaning(self) -> bool:
        """Whether texts are compared with the meanings of labels alone, beside the logits."""
        return self.network.scores_meaning

    def scores_with_meaning(
        self, texts: Texts, shortlist: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return logits as `scores`, and the cosines with the meanings of labels alone.

        Parameters
        ----------
        texts, shortlist : as in `scores`
            The texts, and the labels to score for each.

        Returns
        -------
        logits : float32 ndarray of shape (n, L)
            As `scores` returns them.
        meaning : float32 ndarray of shape (n, L)
            The cosines; 0 for labels that are not on the shortlist.
        """
        return score_meaning_too(self.network, texts, shortlist if self.uses_shortlist else None)

    def scores(self, texts: Texts, shortlist: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
        """Return logits.

        Parameters
        ----------
        texts : TokenSequences or SubwordSequences of n texts
            The texts.
        shortlist : int64 ndarray of shape (n, K), optional
            The labels to score for each text; ignored by a network that does not use shortlists.

        Returns
        -------
        float32 ndarray of shape (n, L)
            The logits of labels that are not on the shortlist are their biases.
        """
        return score_texts(self.network, texts, shortlist if self.uses_shortlist else None)

    def with_labels(self, old: LabelHierarchy, new: LabelHierarchy, texts: LabelTexts) -> NetworkScorer:
        """Return a copy that scores more labels, without training.

        Parameters
        ----------
        old : LabelHierarchy
            The labels of this scorer.
        new : LabelHierarchy
            The same labels, followed by new ones.
        texts : LabelTexts
            What describes the new labels.

        Returns
        -------
        NetworkScorer

        Raises
        ------
        ValueError
            If the network cannot take more labels.
        """
        network, settings = self.network.with_labels(old, new, texts), self.settings
        if isinstance(settings, WordNetworkSettings) and settings.label_words is not None:
            words = [*settings.label_words, *map(list, texts.words)]
            settings = replace(settings, label_words=words)
        return NetworkScorer(network, settings)

    def state(self) -> ScorerState:
        """Return what `from_state` rebuilds the scorer from."""
        values: dict[str, Any] = {"settings": asdict(self.settings)}
        arrays = {
            name: weight.cpu().numpy()
            for name, weight in self.network.state_dict().items()
            if not name.startswith(ENCODER_WEIGHTS)
        }
        encoder: Any = self.network.text_encoder
        if not encoder.pretrained:
            return ScorerState(values, arrays)
        values["encoder"] = encoder.settings.get_params()
        return ScorerState(values, arrays, None if encoder.loaded_by_name else encoder.save)

    @classmethod
    def from_state(cls, state: ScorerState, hierarchy: LabelHierarchy) -> NetworkScorer:
        """Rebuild a scorer from its `state`.

        Parameters
        ----------
        state : ScorerState
            As `state` returned it, with the folder of the pretrained encoder if there is one.
        hierarchy : LabelHierarchy
            L labels.

        Returns
        -------
        NetworkScorer
            Its network is in evaluation mode, on the CPU.

        Raises
        ------
        ValueError
            When a setting or a weight is not as `state` returns it.
        OSError
            When the pretrained encoder is to be loaded by its name, and is not there.
        """
        build: Callable[[], Network]
        settings: NetworkSettings
        if "encoder" in state.values:
            encoder = _stored_encoder(state)
            settings = from_json(NetworkSettings, state.values["settings"], "settings")
            build = partial(build_pretrained_network, hierarchy, settings, encoder)
        else:
            of_words = from_json(WordNetworkSettings, state.values["settings"], "settings")
            settings, build = of_words, partial(build_word_network, hierarchy, of_words)
        _check_settings(settings, len(hierarchy))
        # A network without memory, so that no size in the settings allocates more than there is on disk.
        with torch.device("meta"):
            _check_shapes(build(), state.arrays)
        # The seed does not matter, since all weights are replaced. Global generators must not be drawn from.
        with seeded_construction(0):
            network = build()
        weights = network.state_dict()
        for name, array in state.arrays.items():
            weight = torch.from_numpy(array)
            # The edges of the hierarchy.
            indices = not weights[name].is_floating_point()
            check(name, not indices or torch.equal(weights[name], weight), "differs from the hierarchy")
            weights[name] = weight
        network.load_state_dict(weights)
        return cls(network.eval(), settings)


def _stored_encoder(state: ScorerState) -> TransformerEncoder:
    """Load a pretrained encoder from its folder, or by its name if it was not stored."""
    settings = PretrainedEncoder(**from_json(dict[str, Any], state.values["encoder"], "encoder")).check()
    if settings.freeze == "all" and not settings.stored:
        return _loaded(settings)
    if state.encoder_folder is None:
        raise ValueError("the folder of the trained encoder is missing")
    try:
        encoder = _loaded(settings.set_params(name=state.encoder_folder)).eval()
        for name, weight in encoder.named_parameters():
            check_finite(name, weight.detach().numpy())
        # A damaged tokenizer may have no token for a character that it does not know. With a damaged
        # configuration, finite weights may make a vector that is not finite.
        check_finite("the vector of a text", encode(encoder, encoder.tokenize(["\N{SNOWMAN}"])))
        return encoder
    except ImportError:
        raise
    except Exception as error:
        # The libraries that read it have errors of many classes.
        raise ValueError(f"the encoder cannot be read: {error}") from error


@seeded_construction(0)
def _loaded(settings: PretrainedEncoder) -> TransformerEncoder:
    return TransformerEncoder(settings)


def _check_settings(settings: NetworkSettings, n_labels: int) -> None:
    """Raise a ValueError if a setting is not one of its options, which networks do not check themselves."""
    for name, options in OPTIONS.items():
        value = getattr(settings, name, options[0])
        check(f"settings.{name}", value in options, f"is {value!r:.60}, not one of {options}")
    check("settings.dropout", 0 <= settings.dropout <= 1, f"is {settings.dropout}")
    sizes = {name: value for name, value in vars(settings).items() if type(value) is int}
    sizes.pop("dropout", None)
    for name, size in sizes.items():
        check(f"settings.{name}", size >= 1, f"is {size}")
    if isinstance(settings, WordNetworkSettings):
        check("settings.kernel_sizes", min(settings.kernel_sizes, default=1) >= 1, "holds a size below 1")
        n_words, label_words = settings.vocabulary_size, settings.label_words
        if label_words is not None:
            check("settings.label_words", len(label_words) == n_labels, f"is not of {n_labels} labels")
            inside = all(0 <= word < n_words for words in label_words for word in words)
            check("settings.label_words", inside, "holds ids that no word has")


def _check_shapes(network: Network, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Raise a ValueError if the arrays are not the weights of a network."""
    weights = {
        name: weight for name, weight in network.state_dict().items() if not name.startswith(ENCODER_WEIGHTS)
    }
    for name, weight in weights.items():
        of_shape(arrays, name, tuple(weight.shape), "f" if weight.is_floating_point() else "i")
    unknown = sorted(arrays.keys() - weights.keys())
    check(", ".join(unknown), not unknown, "is no weight of this network")
