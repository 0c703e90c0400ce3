"""The pretrained text encoder: subwords to one vector a text, in place of T of section 3.1 of the paper."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skhimatch.network.batches import padding_mask
from skhimatch.network.dropout import Dropout
from skhimatch.network.encoders import TextEncoder
from skhimatch.network.random_numbers import (
    CONSTRUCTION,
    InjectedGenerators,
    RandomModule,
    contexts_of_recomputation,
)
from skhimatch.text.pretrained import describe, load_model, load_tokenizer
from skhimatch.text.sequences import TokenSequences
from skhimatch.text.subwords import pieces_of, vocabulary_of

__all__ = ["TransformerEncoder"]

# What configurations call the dropout of attention weights. Most of a step's random numbers are drawn for
# it, and newer models do without.
ATTENTION_DROPOUT = ("attention_probs_dropout_prob", "attention_dropout")
# A tokenizer that knows a smaller share of the model's pieces than this is not the model's.
LEAST_SHARE_OF_PIECES = 0.5
# Numbers that a layer keeps for the backward pass, a subword and a feature; by the layers of BERT.
KEPT_NUMBERS = 20
MOST_OF_THE_MEMORY = 0.6
Freeze = int | str | None


class TransformerEncoder(TextEncoder, RandomModule):
    """A pretrained transformer over windows of a text, and one vector T of what it says.

    Each window of subwords is put between the model's own special tokens. T is the state of the first
    token of a window (h_CLS, as in the paper), or the mean of the states of all its tokens; of several
    windows it is the mean, weighed by their tokens where states are averaged.

    Parameters
    ----------
    name : str or path
        A folder, or a model's name on the Hugging Face hub.
    pooling : {"auto", "cls", "mean", "attention"}
        "attention" leaves the states to the labels, each of which looks at its own; T is their mean then.
        "auto" is that, or, where the model is frozen as a whole, how it says that it was trained, or "cls".
    freeze : {"all", "embeddings"}, int or None
        What training leaves as it is: all, the embeddings, these and the first layers, or nothing.
    long_text : {"truncate", "stride"}
        What is longer than the model's window is cut off, or read in several windows.
    max_length : int, optional
        Subwords of a window, special ones included; the model's own by default.
    stored : bool
        Whether pickles hold the weights of a model that is frozen as a whole; otherwise it is loaded by its
        name again.

    Attributes
    ----------
    output_size : int
        d_T, the model's width.
    room : int
        Subwords of a text that fit into one window.

    Raises
    ------
    ImportError, OSError
        When transformers is not installed, or there is no such model; says what was tried.
    ValueError
        When tokenizer and model do not belong together, there is no padding token, or `freeze` or
        `max_length` ask for more than there is.
    """

    def __init__(
        self,
        name: str | PathLike[str],
        *,
        pooling: str = "auto",
        freeze: Freeze = None,
        long_text: str = "truncate",
        max_length: int | None = None,
        stored: bool = True,
    ) -> None:
        super().__init__()
        description = describe(name)
        self.name = str(name)
        self.subfolder = description.subfolder
        self.tokenizer = tokenizer = load_tokenizer(name, description.subfolder)
        self.vocabulary = vocabulary_of(tokenizer)
        self.stored = stored
        self.freeze = freeze
        if pooling == "auto":
            pooling = description.pooling if self.frozen else "attention"
        self.pooling = pooling
        self.long_text = long_text
        if self.frozen and pooling == "attention":
            raise ValueError(
                "freeze='all' and pooling='attention': of what is frozen as a whole one vector a text is "
                "kept, and no states to attend to; take pooling='mean', or freeze fewer layers."
            )
        self._load()
        _check_pieces(self.name, len(tokenizer), self.body.get_input_embeddings().num_embeddings)
        self.padding_id = int(tokenizer.pad_token_id)
        self.before, self.behind = _special_tokens(tokenizer)
        self.window = min(description.window, max_length or description.window)
        self.room = self.window - len(self.before) - len(self.behind)
        if self.room < 1:
            raise ValueError(f"max_length={max_length} leaves no room for text between special tokens.")
        self.output_size = int(self.body.config.hidden_size)

    @property
    def frozen(self) -> bool:
        """Whether nothing of it is ever trained, so that a text has to be read only once."""
        return self.freeze == "all"

    @property
    def left_out(self) -> bool:
        """Whether what is kept of it is its name, because its weights are as they were."""
        return self.frozen and not self.stored

    @property
    def settings(self) -> dict[str, Any]:
        """All that it was built with."""
        return {
            "name": self.name,
            "pooling": self.pooling,
            "freeze": self.freeze,
            "long_text": self.long_text,
            "max_length": self.window,
            "stored": self.stored,
        }

    def save(self, folder: Path) -> None:
        """Write model and tokenizer as transformers does, for it or for this class to load."""
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
            Subwords without special ones; whatever is behind the lengths counts for nothing.
        lengths : int64 tensor of shape (B,)
            Subwords of each text; 0 is allowed.
        """
        owner, mask, states = self._read(ids, lengths)
        if self.pooling == "cls":
            summed, weight = states[:, 0], torch.ones_like(owner)
        else:
            summed, weight = (states * mask[..., None]).sum(1), mask.sum(1)
        of_text = states.new_zeros(len(ids), self.output_size).index_add(0, owner, summed)
        total = torch.zeros_like(lengths).index_add(0, owner, weight)
        return of_text / total[:, None]

    def states(self, ids: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return the states of all tokens of each text, one window behind the other.

        Parameters
        ----------
        ids, lengths
            As `forward` takes them.

        Returns
        -------
        states : float tensor of shape (B, m, d_T)
            Zero behind the last token of a text.
        lengths : int64 tensor of shape (B,)
            Tokens of each text, special ones included.
        """
        owner, mask, states = self._read(ids, lengths)
        number = torch.zeros_like(lengths).index_add(0, owner, mask.sum(1))
        of_text = states.new_zeros(len(ids), int(number.max()), self.output_size)
        of_text[padding_mask(number, of_text.shape[1])] = states[mask]
        return of_text, number

    def _read(self, ids: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return whose each window is, which of its tokens are no padding, and their states."""
        owner, start, length = self._windows(lengths)
        tokens, mask = self._with_special_tokens(ids, owner, start, length)
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

    def train(self, mode: bool = True) -> TransformerEncoder:
        """Turn dropout on or off; what is frozen never drops anything."""
        super().train(mode)
        for part in self._frozen_parts():
            part.eval()
        return self

    def digest(self) -> bytes:
        """Return a hash of all that an encoding depends on beside the text: weights, pooling, windows."""
        hashed = hashlib.sha256(
            repr((self.pooling, self.long_text, self.window, self.before, self.behind)).encode()
        )
        for name, weight in self.body.state_dict().items():
            hashed.update(name.encode())
            hashed.update(weight.detach().cpu().contiguous().numpy().tobytes())
        return hashed.digest()

    def _windows(self, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Cut texts into windows: whose each is, its first subword, and its number of subwords."""
        if self.long_text == "truncate":
            return (
                torch.arange(len(lengths), device=lengths.device),
                torch.zeros_like(lengths),
                lengths.clamp(max=self.room),
            )
        number = (lengths.clamp(min=1) + self.room - 1) // self.room
        owner = torch.arange(len(lengths), device=lengths.device).repeat_interleave(number)
        place = torch.arange(len(owner), device=lengths.device) - (number.cumsum(0) - number)[owner]
        start = place * self.room
        return owner, start, (lengths[owner] - start).clamp(max=self.room)

    def _with_special_tokens(
        self, ids: Tensor, owner: Tensor, start: Tensor, length: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the windows' tokens, int64 of shape (W, m), and which are no padding."""
        first, last = len(self.before), len(self.behind)
        width = int(length.max())
        place = start[:, None] + torch.arange(width, device=ids.device)
        inside = padding_mask(length, width)
        tokens = torch.full((len(owner), first + width + last), self.padding_id, device=ids.device)
        taken = ids[owner[:, None], place.clamp(max=ids.shape[1] - 1)]
        tokens[:, first : first + width] = torch.where(inside, taken, self.padding_id)
        for offset, token in enumerate(self.before):
            tokens[:, offset] = token
        rows = torch.arange(len(owner), device=ids.device)
        for offset, token in enumerate(self.behind):
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
        return kept * (2 if torch.is_autocast_enabled("cuda") else 4) > MOST_OF_THE_MEMORY * free

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
        """Load the model, ready to be trained as far as it is not frozen."""
        with CONSTRUCTION:
            self.body = body = load_model(
                self.name,
                self.subfolder,
                # On a CPU the plain products are faster than the fused ones, training most of all.
                attention=None if torch.cuda.is_available() else "eager",
                **dict.fromkeys(ATTENTION_DROPOUT, 0.0),
            )
        _replace_dropouts(body)
        number = len(self.layers)
        if isinstance(self.freeze, int) and self.freeze > number:
            raise ValueError(f"freeze={self.freeze}: {self.name!r} has {number} layers.")
        for part in self._frozen_parts():
            part.requires_grad_(False)
        # It takes no part in T.
        if getattr(body, "pooler", None) is not None:
            body.pooler.requires_grad_(False)

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        if self.left_out:
            state["_modules"] = {name: part for name, part in self._modules.items() if name != "body"}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "body" not in self._modules:
            self._load()
            self.eval()

    def _frozen_parts(self) -> list[nn.Module]:
        if self.freeze is None:
            return []
        if self.freeze == "all":
            return [self.body]
        below = 0 if self.freeze == "embeddings" else int(self.freeze)
        embeddings = getattr(self.body, "embeddings", self.body.get_input_embeddings())
        return [embeddings, *self.layers[:below]]


def _check_pieces(name: str, of_tokenizer: int, of_model: int) -> None:
    if of_tokenizer > of_model or of_tokenizer < LEAST_SHARE_OF_PIECES * of_model:
        raise ValueError(
            f"The tokenizer of {name!r} knows {of_tokenizer:,} pieces of words and its model has vectors for "
            f"{of_model:,}: they do not belong together. Put the tokenizer's files beside the model's."
        )


def _special_tokens(tokenizer: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return what a tokenizer puts before and behind a text."""
    alone = list(tokenizer("a", add_special_tokens=False)["input_ids"])
    around = list(tokenizer("a")["input_ids"])
    first = next(place for place in range(len(around)) if around[place : place + len(alone)] == alone)
    return tuple(around[:first]), tuple(around[first + len(alone) :])


def _replace_dropouts(body: nn.Module) -> None:
    """Let dropout draw a byte a feature: as it comes it takes a sixth of a step on a CPU."""
    for part in body.modules():
        for name, child in part.named_children():
            if isinstance(child, nn.Dropout):
                setattr(part, name, Dropout(child.p))
