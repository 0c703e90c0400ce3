"""A trained network as a scorer."""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass, replace
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
from skhimatch.network.predict import score_meaning_too, score_texts
from skhimatch.network.random_numbers import seeded_construction
from skhimatch.network.transformer import TransformerEncoder
from skhimatch.scores.state import ScorerState
from skhimatch.text.pretrained import PretrainedEncoder
from skhimatch.text.sequences import Texts

__all__ = ["NetworkScorer"]

# The prefix of the weights of a pretrained encoder, which are written in the format of transformers.
ENCODER_WEIGHTS = "text_encoder.body."


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

    # The seed does not matter, since all weights are replaced: the global generators must not be drawn from.
    @classmethod
    @seeded_construction(0)
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
        """
        network: Network
        settings: NetworkSettings
        weights = {name: torch.from_numpy(array) for name, array in state.arrays.items()}
        if "encoder" in state.values:
            encoder_settings = PretrainedEncoder(**state.values["encoder"])
            if state.encoder_folder is not None:
                encoder_settings.set_params(name=state.encoder_folder)
            settings = NetworkSettings(**state.values["settings"])
            network = build_pretrained_network(hierarchy, settings, TransformerEncoder(encoder_settings))
            # These were loaded with the encoder.
            weights |= {
                name: weight
                for name, weight in network.state_dict().items()
                if name.startswith(ENCODER_WEIGHTS)
            }
        else:
            settings = WordNetworkSettings(**state.values["settings"])
            network = build_word_network(hierarchy, settings)
        network.load_state_dict(weights)
        return cls(network.eval(), settings)
