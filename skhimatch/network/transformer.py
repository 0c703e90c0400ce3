"""The pretrained text encoder, in place of the paper's BiGRU and convolutions (section 4.2)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.base import clone
from torch import Tensor, nn

from skhimatch.labels.texts import LabelTexts
from skhimatch.network.batches import padding_mask
from skhimatch.network.dropout import Dropout
from skhimatch.network.encoders import TextEncoder
from skhimatch.network.encodings import (
    encode,
    encode_longest_first,
    encode_once,
    look_up_or_encode,
)
from skhimatch.network.random_numbers import (
    CONSTRUCTION,
    InjectedGenerators,
    RandomModule,
    contexts_of_recomputation,
)
from skhimatch.text.hub import describe, load_model, load_tokenizer
from skhimatch.text.pretrained import PretrainedEncoder
from skhimatch.text.sequences import SubwordSequences, Texts, TokenSequences
from skhimatch.text.subwords import pieces_of, vocabulary_of
from skhimatch.warn_user import warn_user

__all__ = ["TransformerEncoder"]

# The names of the dropout of attention weights in configurations. It takes most of the random numbers of a
# training step, and newer models do not have it.
ATTENTION_DROPOUT = ("attention_probs_dropout_prob", "attention_dropout")
# If the tokenizer has a smaller share of the model's pieces than this, it belongs to another model.
MIN_SHARE_OF_PIECES = 0.5
# Numbers that a layer of BERT keeps for the backward pass, for each subword and feature; and the share of the
# free GPU memory that they may take. Beyond it, they are computed again in the backward pass.
KEPT_NUMBERS = 20
MAX_MEMORY_SHARE = 0.6


class TransformerEncoder(TextEncoder, RandomModule):
    """A pretrained transformer that reads texts in windows.

    Each window of subwords is put between the model's special tokens. One vector T of a text is the state of
    the first token of a window (h_CLS, as in the paper), or the mean of the states of all tokens. For several
    windows it is the mean of their vectors, weighted by their tokens if states are averaged.

    Parameters
    ----------
    settings : PretrainedEncoder
        Name, pooling, and what is frozen. Its `stored` says whether pickles hold the weights of a model that
        is frozen as a whole.

    Attributes
    ----------
    settings : PretrainedEncoder
        With resolved `pooling` and `max_length`.
    output_size : int
        d_T, the model's width.
    capacity : int
        Subwords of a text that fit into one window.

    Raises
    ------
    ImportError, OSError
        When transformers is not installed, or there is no such model; the message says what was tried.
    ValueError
        When tokenizer and model do not belong together, there is no padding token, or `freeze` or
        `max_length` ask for more than there is.
    """

    pretrained = True
    # The last digest, and the version of settings and weights that it belongs to.
    _digest_of_version: tuple[Any, bytes] | None = None

    def __init__(self, settings: PretrainedEncoder) -> None:
        super().__init__()
        description = describe(settings.name)
        pooling = settings.pooling
        if pooling == "auto":
            pooling = description.pooling if settings.freeze == "all" else "attention"
        max_length = min(description.window, settings.max_length or description.window)
        self.settings = (
            clone(settings)
            .set_params(name=str(settings.name), pooling=pooling, max_length=max_length)
            .check()
        )
        self.subfolder = description.subfolder
        self.tokenizer = tokenizer = load_tokenizer(settings.name, description.subfolder)
        self.vocabulary = vocabulary_of(tokenizer)
        self._load()
        # An id without a vector would stop a GPU.
        n_pieces = max(len(tokenizer), len(self.vocabulary))
        _check_pieces(self.name, n_pieces, self.body.get_input_embeddings().num_embeddings)
        self.padding_id = int(tokenizer.pad_token_id)
        self.prefix_tokens, self.suffix_tokens = _special_tokens(tokenizer)
        self.capacity = max_length - len(self.prefix_tokens) - len(self.suffix_tokens)
        if self.capacity < 1:
            raise ValueError(f"max_length={max_length} leaves no room for text between special tokens.")
        self.output_size = int(self.body.config.hidden_size)

    @property
    def name(self) -> str:
        """The folder, or the name on the hub."""
        return self.settings.name

    @property
    def pooling(self) -> str:
        """How states are used: "attention", "cls" or "mean"."""
        return self.settings.pooling

    @property
    def returns_states(self) -> bool:
        """Whether `read` returns states, to which labels attend, and not vectors T."""
        return self.pooling == "attention"

    @property
    def frozen(self) -> bool:
        """Whether nothing is trained, so that each text has to be encoded only once."""
        return self.settings.freeze == "all"

    @property
    def loaded_by_name(self) -> bool:
        """Whether pickles hold only its name, because its weights are unchanged and not to be stored."""
        return self.frozen and not self.settings.stored

    def save(self, folder: Path) -> None:
        """Write model and tokenizer into a folder that transformers and this class can load."""
        self.body.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)

    @property
    def layers(self) -> nn.ModuleList:
        """The model's layers, the first one first."""
        number = self.body.config.num_hidden_layers
        found = [part for part in self.body.modules() if isinstance(part, nn.ModuleList)]
        return next((part for part in found if len(part) == number), nn.ModuleList())

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Return the text features T, float of shape (B, d_T).

        Parameters
        ----------
        ids : int64 tensor of shape (B, n)
            Subwords without special ones. What is behind the lengths is ignored.
        lengths : int64 tensor of shape (B,)
            Subwords of each text; 0 is allowed.
        """
        owner, mask, states = self._read_windows(ids, lengths)
        if self.pooling == "cls":
            summed, weight = states[:, 0], torch.ones_like(owner)
        else:
            summed, weight = (states * mask[..., None]).sum(1), mask.sum(1)
        of_text = states.new_zeros(len(ids), self.output_size).index_add(0, owner, summed)
        total = torch.zeros_like(lengths).index_add(0, owner, weight)
        return of_text / total[:, None]

    def read(self, ids: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return states if labels attend to them, else vectors T; parameters as in `TextEncoder.read`."""
        return self.states(ids, lengths) if self.returns_states else (self(ids, lengths), lengths)

    def input_of(self, texts: Texts, *, progress: bool = False) -> Texts:
        """Return subwords; for a frozen encoder with the vectors of the texts, which are stored.

        With `progress`, a bar is shown while texts are encoded.
        """
        if self.settings.vector_store == "never":
            return self._with_encodings(texts, partial(encode_longest_first, progress=progress))
        return self._with_encodings(texts, partial(encode_once, progress=progress))

    def input_to_predict(self, texts: Texts) -> Texts:
        """Return the same as `input_of`; new vectors are stored only if the settings ask for it."""
        if self.settings.vector_store == "fit":
            return self._with_encodings(texts, look_up_or_encode)
        return self.input_of(texts)

    def input_once(self, texts: Texts) -> Texts:
        """Return the same as `input_of`, for texts that do not come again: nothing is stored or looked up."""
        return self._with_encodings(texts, encode_longest_first)

    def _with_encodings(
        self, texts: Texts, encode_all: Callable[[TransformerEncoder, TokenSequences], np.ndarray]
    ) -> Texts:
        if not isinstance(texts, SubwordSequences) or not self.frozen or texts.encodings is not None:
            return texts
        return SubwordSequences(texts.subwords, texts.words, encode_all(self, texts.subwords))

    def tokens_read(self, limit: int | None) -> int | None:
        """Return how many subwords of a text are read: those of one window, or all."""
        if self.settings.long_text != "truncate":
            return limit
        return self.capacity if limit is None else min(limit, self.capacity)

    def token_of_states(self, n_tokens: int) -> np.ndarray:
        """Return the subword of each state of a text of n subwords; -1 for a state of a special token."""
        _, starts, lengths = self._windows(torch.tensor([n_tokens]))
        first, last = len(self.prefix_tokens), len(self.suffix_tokens)
        return np.concatenate(
            [
                np.pad(np.arange(start, start + length), (first, last), constant_values=-1)
                for start, length in zip(starts.tolist(), lengths.tolist(), strict=True)
            ]
        )

    def check_input(self, texts: Texts) -> SubwordSequences:
        """Return texts if they are in this encoder's subwords; warn how many are cut off.

        Parameters
        ----------
        texts : TokenSequences or SubwordSequences of n texts
            The texts.

        Returns
        -------
        SubwordSequences of shape (n,)

        Raises
        ------
        ValueError
            When they are in other tokens.
        """
        if not isinstance(texts, SubwordSequences) or texts.subwords.vocabulary != self.vocabulary:
            raise ValueError(
                f"X are not in the subwords of the encoder {self.name!r}: tokenize with "
                f"SubwordTokenizer({self.name!r}), or pass the texts themselves."
            )
        n_cut = int((texts.lengths > self.capacity).sum())
        if n_cut and self.settings.long_text == "truncate":
            warn_user(
                f"{n_cut:,} of {len(texts):,} texts are longer than the {self.capacity:,} subwords that "
                f"{self.name!r} reads at once, and are cut off there; long_text='stride' reads all of them.",
            )
        return texts

    def states(self, ids: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return the states of all tokens of each text, window after window.

        Parameters
        ----------
        ids, lengths : as in `forward`
            A batch of texts.

        Returns
        -------
        states : float tensor of shape (B, m, d_T)
            Zero behind the last token of a text.
        lengths : int64 tensor of shape (B,)
            Tokens of each text, special ones included.
        """
        owner, mask, states = self._read_windows(ids, lengths)
        number = torch.zeros_like(lengths).index_add(0, owner, mask.sum(1))
        of_text = states.new_zeros(len(ids), int(number.max()), self.output_size)
        of_text[padding_mask(number, of_text.shape[1])] = states[mask]
        return of_text, number

    def _read_windows(self, ids: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the text of each window, the mask of its tokens, and their states."""
        owner, start, length = self._windows(lengths)
        tokens, mask = self._with_special_tokens(ids, owner, start, length)
        if self.training:
            # In prediction nothing is recomputed, and to look through all layers takes half a millisecond.
            self._switch_recomputation(self._needs_recomputation(tokens))
        with self._own_draws():
            states = self.body(input_ids=tokens, attention_mask=mask.long()).last_hidden_state
        return owner, mask, states.to(torch.promote_types(states.dtype, torch.float32))

    def tokenize(self, texts: Sequence[str]) -> TokenSequences:
        """Cut texts into subwords, without special ones."""
        return pieces_of(texts, self.tokenizer, self.vocabulary)

    def embed_names(self, names: Sequence[str]) -> np.ndarray:
        """Average the model's input embeddings over the subwords of names.

        Parameters
        ----------
        names : sequence of L str
            The names of the labels.

        Returns
        -------
        float32 ndarray of shape (L, d_T)
            Zero for a name without any subword.
        """
        table = self.body.get_input_embeddings().weight.detach()
        means = [
            table[torch.from_numpy(ids).long()].mean(0) if len(ids) else table.new_zeros(table.shape[1])
            for ids in self.tokenize(names)
        ]
        return torch.stack(means).cpu().numpy()

    def label_vectors(self, texts: LabelTexts) -> Tensor:
        """Return V_l of M labels (eq 2), as `embed_names`: float of shape (M, d_T)."""
        return torch.from_numpy(self.embed_names(texts.names))

    def encoded_texts(self, texts: Sequence[str]) -> Tensor:
        """Return the vectors T of texts, or the means of their states: float of shape (n, d_T).

        Parameters
        ----------
        texts : sequence of n str
            A few texts, such as the names of labels.

        Returns
        -------
        float tensor of shape (n, d_T)
        """
        return torch.from_numpy(self.encoded(self.tokenize(texts)))

    def encoded(self, subwords: TokenSequences) -> np.ndarray:
        """Return the vectors of tokenised texts, float32 of shape (n, d_T); a frozen encoder stores them."""
        stored = self.frozen and self.settings.vector_store != "never"
        return encode_once(self, subwords) if stored else encode(self, subwords)

    def train(self, mode: bool = True) -> TransformerEncoder:
        """Switch dropout on or off; frozen parts never have dropout."""
        super().train(mode)
        for part in self._frozen_parts():
            part.eval()
        return self

    def digest(self) -> bytes:
        """Return a hash of everything but the text on which a vector depends: weights, pooling, windows.

        Weights are hashed once, and again only if torch counts a change, or they were moved: it takes a fifth
        of a second for MiniLM. Changes through ``weight.data`` are not counted.
        """
        settings = self.settings
        what: tuple[Any, ...] = (
            self.pooling,
            settings.long_text,
            settings.max_length,
            self.prefix_tokens,
            self.suffix_tokens,
        )
        if settings.dtype != "float32":
            what += (settings.dtype,)
        version = what, _versions(self.body)
        if self._digest_of_version is None or self._digest_of_version[0] != version:
            hashed = hashlib.sha256(repr(what).encode())
            for name, weight in self.body.state_dict().items():
                hashed.update(name.encode())
                hashed.update(weight.detach().cpu().contiguous().numpy().tobytes())
            self._digest_of_version = version, hashed.digest()
        return self._digest_of_version[1]

    def _windows(self, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Cut texts into windows: return the text, the first subword and the length of each window."""
        if self.settings.long_text == "truncate":
            return (
                torch.arange(len(lengths), device=lengths.device),
                torch.zeros_like(lengths),
                lengths.clamp(max=self.capacity),
            )
        number = (lengths.clamp(min=1) + self.capacity - 1) // self.capacity
        owner = torch.arange(len(lengths), device=lengths.device).repeat_interleave(number)
        place = torch.arange(len(owner), device=lengths.device) - (number.cumsum(0) - number)[owner]
        start = place * self.capacity
        return owner, start, (lengths[owner] - start).clamp(max=self.capacity)

    def _with_special_tokens(
        self, ids: Tensor, owner: Tensor, start: Tensor, length: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the windows' tokens, int64 of shape (W, m), and which are no padding."""
        first, last = len(self.prefix_tokens), len(self.suffix_tokens)
        width = int(length.max())
        place = start[:, None] + torch.arange(width, device=ids.device)
        inside = padding_mask(length, width)
        tokens = torch.full((len(owner), first + width + last), self.padding_id, device=ids.device)
        taken = ids[owner[:, None], place.clamp(max=ids.shape[1] - 1)]
        tokens[:, first : first + width] = torch.where(inside, taken, self.padding_id)
        for offset, token in enumerate(self.prefix_tokens):
            tokens[:, offset] = token
        rows = torch.arange(len(owner), device=ids.device)
        for offset, token in enumerate(self.suffix_tokens):
            tokens[rows, first + length + offset] = token
        return tokens, padding_mask(length + first + last, tokens.shape[1])

    def parameter_learning_rates(self, rate: float, layer_decay: float) -> dict[str, float]:
        """Return the learning rate of each parameter: `rate` in the last layer, lower in the layers below.

        Parameters
        ----------
        rate : float
            The learning rate of the last layer.
        layer_decay : float
            The learning rate of a layer divided by that of the layer above.

        Returns
        -------
        dict of str to float
            By the names of this module's parameters. The embeddings are the layer below the first one.
        """
        layers = list(self.layers)
        height = {
            id(weight): number for number, layer in enumerate(layers, 1) for weight in layer.parameters()
        }
        return {
            name: rate * layer_decay ** (len(layers) - height.get(id(weight), 0))
            for name, weight in self.named_parameters()
        }

    def _own_draws(self) -> AbstractContextManager[Any]:
        """Return a context in which the model's own dropout draws from this module's generators."""
        if not self.training or self.generators is None:
            return nullcontext()
        return InjectedGenerators(self.generators)

    def _needs_recomputation(self, tokens: Tensor) -> bool:
        """Whether the states of all layers would fill the GPU, so that the backward pass recomputes them."""
        if not (self.training and self.generators is not None and tokens.is_cuda):
            return False
        config = self.body.config
        kept = KEPT_NUMBERS * tokens.numel() * config.num_hidden_layers * config.hidden_size
        device = tokens.device
        # Memory that torch has reserved and does not use counts as free.
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        free = torch.cuda.mem_get_info(device)[0] + unused
        return kept * (2 if torch.is_autocast_enabled("cuda") else 4) > MAX_MEMORY_SHARE * free

    def _switch_recomputation(self, wanted: bool) -> None:
        """Turn gradient checkpointing on or off; the recomputed layers draw the same dropout masks again."""
        body = self.body
        # Newer versions of transformers have a new name for it, and warn about the old one.
        name = "activation" if hasattr(body, "activation_checkpointing_enable") else "gradient"
        if not body.supports_gradient_checkpointing or wanted == getattr(body, f"is_{name}_checkpointing"):
            return
        if wanted:
            settings = {
                "use_reentrant": False,
                # It would change torch's global generators during the backward pass.
                "preserve_rng_state": False,
                "context_fn": self._contexts_of_recomputation,
            }
            getattr(body, f"{name}_checkpointing_enable")(settings)
        else:
            getattr(body, f"{name}_checkpointing_disable")()

    def _contexts_of_recomputation(self) -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
        if self.generators is None:
            return nullcontext(), nullcontext()
        return contexts_of_recomputation(self.generators, self.body.device)

    def _load(self) -> None:
        """Load the model; only what is not frozen can be trained."""
        fused = torch.cuda.is_available() or self.settings.dtype == "bfloat16"
        with CONSTRUCTION:
            self.body = body = load_model(
                self.name,
                self.subfolder,
                # On a CPU the plain implementation is faster than the fused one, but for bfloat16.
                attention=None if fused else "eager",
                **dict.fromkeys(ATTENTION_DROPOUT, 0.0),
            )
        _replace_dropouts(body)
        number = len(self.layers)
        if isinstance(self.settings.freeze, int) and self.settings.freeze > number:
            raise ValueError(f"freeze={self.settings.freeze}: {self.name!r} has {number} layers.")
        for part in self._frozen_parts():
            part.requires_grad_(False)
        # The pooler is not used.
        if getattr(body, "pooler", None) is not None:
            body.pooler.requires_grad_(False)

    def __getstate__(self) -> dict[str, Any]:
        # Addresses in memory have no meaning in another process.
        state = super().__getstate__() | {"_digest_of_version": None}
        if self.loaded_by_name:
            state["_modules"] = {name: part for name, part in self._modules.items() if name != "body"}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "body" not in self._modules:
            self._load()
            self.eval()

    def _frozen_parts(self) -> list[nn.Module]:
        freeze = self.settings.freeze
        if freeze is None:
            return []
        if freeze == "all":
            return [self.body]
        below = 0 if freeze == "embeddings" else int(freeze)
        embeddings = getattr(self.body, "embeddings", self.body.get_input_embeddings())
        return [embeddings, *self.layers[:below]]


def _versions(body: nn.Module) -> tuple[Any, ...]:
    """Return where each weight is, and how often it was changed; if this is not counted, something new."""
    # Torch does not count the changes of tensors that were made in its inference mode.
    return tuple(
        (weight.data_ptr(), object() if weight.is_inference() else weight._version)
        for weight in body.parameters()
    )


def _check_pieces(name: str, of_tokenizer: int, of_model: int) -> None:
    if of_tokenizer > of_model or of_tokenizer < MIN_SHARE_OF_PIECES * of_model:
        raise ValueError(
            f"The tokenizer of {name!r} knows {of_tokenizer:,} pieces of words and its model has vectors for "
            f"{of_model:,}: they do not belong together. Put the tokenizer's files beside the model's."
        )


def _special_tokens(tokenizer: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the special tokens that a tokenizer puts before and behind a text."""
    alone = list(tokenizer("a", add_special_tokens=False)["input_ids"])
    around = list(tokenizer("a")["input_ids"])
    first = next(place for place in range(len(around)) if around[place : place + len(alone)] == alone)
    return tuple(around[:first]), tuple(around[first + len(alone) :])


def _replace_dropouts(body: nn.Module) -> None:
    """Replace the dropout of torch by ours: on a CPU it takes a sixth of a training step."""
    for part in body.modules():
        for name, child in part.named_children():
            if isinstance(child, nn.Dropout):
                setattr(part, name, Dropout(child.p))
