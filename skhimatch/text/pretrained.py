"""The settings of a pretrained text encoder."""

from __future__ import annotations

from difflib import get_close_matches
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval, StrOptions

__all__ = ["WORD_ENCODERS", "PretrainedEncoder", "as_encoder"]

# The encoders that are trained from nothing, on words.
WORD_ENCODERS = ("attention", "gru", "cnn", "rcnn")


class PretrainedEncoder(BaseEstimator):
    """A pretrained transformer as the text encoder of `HiMatchClassifier`.

    Its parameters can be searched, for instance as ``encoder__freeze``. It needs the extra
    ``skhimatch[transformers]``.

    Parameters
    ----------
    name : str or path
        A folder that ``save_pretrained`` or sentence-transformers wrote, or a model's name on the Hugging
        Face hub, such as "bert-base-uncased".
    pooling : {"auto", "attention", "cls", "mean"}, default="auto"
        How the states of the encoder are used. "attention": each label attends to them separately. "cls" and
        "mean": they become one vector for each text, the state of the first token (the paper) or the mean.
        "auto" is "attention"; with ``freeze="all"`` it is the pooling that the encoder was trained with, or
        "cls".
    freeze : {"all", "embeddings"}, int or None, default=None
        What is not trained: everything, the embeddings, the embeddings and this number of layers, or nothing.
        With "all" each text is encoded only once, for all fits and searches: the vectors are stored in the
        folder named by the environment variable SKHIMATCH_CACHE, by default ``~/.cache/skhimatch``, up to
        1 GiB. See `vector_store`.
    long_text : {"truncate", "stride"}, default="truncate"
        Texts that are longer than the encoder's window are cut off, with a warning, or are read in several
        windows.
    max_length : int, optional
        Subwords of a window, special ones included; by default as many as the encoder allows.
    learning_rate : float, default=5e-5
        The highest learning rate of the encoder's last layer.
    layer_decay : float in (0, 1], default=1.0
        The learning rate of each layer is this number times that of the layer above.
    stored : bool, default=True
        Whether pickles and saved models hold the weights of an encoder that is frozen as a whole. Without
        them they are smaller, and load the encoder by its name. Trained weights are always stored.
    vector_store : {"fit", "always", "never"}, default="fit"
        Which vectors of an encoder that is frozen as a whole are stored on disk: those of the texts that
        `fit`, `partial_fit`, `tune` and `calibrate` read, those of `predict`, too, or none. What is stored
        is also read by `predict`, except with "never".
    dtype : {"float32", "bfloat16"}, default="float32"
        What an encoder that is frozen as a whole computes its vectors in. With "bfloat16" MiniLM encodes 2.5
        times as many texts in a second on a processor that has instructions for it (AVX512-BF16, AMX, and
        recent ARM), and fewer on others. Its vectors have a cosine of at least .9999 with the exact ones.

    See Also
    --------
    HiMatchClassifier : Takes it as ``encoder``.

    Examples
    --------
    >>> from skhimatch import HiMatchClassifier
    >>> clf = HiMatchClassifier(encoder=PretrainedEncoder("bert-base-uncased", freeze="all"))
    >>> clf.set_params(encoder__freeze=6).encoder
    PretrainedEncoder(freeze=6, name='bert-base-uncased')
    """

    # For pickles of versions without these parameters.
    vector_store = "fit"
    dtype = "float32"

    _parameter_constraints: dict = {  # noqa: RUF012 (scikit-learn's convention)
        "name": [str, PathLike],
        "pooling": [StrOptions({"auto", "cls", "mean", "attention"})],
        "freeze": [StrOptions({"all", "embeddings"}), Interval(Integral, 0, None, closed="left"), None],
        "long_text": [StrOptions({"truncate", "stride"})],
        "max_length": [Interval(Integral, 1, None, closed="left"), None],
        "learning_rate": [Interval(Real, 0, None, closed="neither")],
        "layer_decay": [Interval(Real, 0, 1, closed="right")],
        "stored": ["boolean"],
        "vector_store": [StrOptions({"fit", "always", "never"})],
        "dtype": [StrOptions({"float32", "bfloat16"})],
    }

    def __init__(
        self,
        name: str | PathLike[str],
        *,
        pooling: str = "auto",
        freeze: int | str | None = None,
        long_text: str = "truncate",
        max_length: int | None = None,
        learning_rate: float = 5e-5,
        layer_decay: float = 1.0,
        stored: bool = True,
        vector_store: str = "fit",
        dtype: str = "float32",
    ) -> None:
        self.name = name
        self.pooling = pooling
        self.freeze = freeze
        self.long_text = long_text
        self.max_length = max_length
        self.learning_rate = learning_rate
        self.layer_decay = layer_decay
        self.stored = stored
        self.vector_store = vector_store
        self.dtype = dtype

    def check(self) -> PretrainedEncoder:
        """Return itself; raise if a parameter is out of its range.

        Returns
        -------
        PretrainedEncoder
            Itself.

        Raises
        ------
        ValueError
            When a parameter is out of its range, or two do not go together.
        """
        self._validate_params()
        if self.freeze == "all" and self.pooling == "attention":
            raise ValueError(
                "freeze='all' and pooling='attention': of a frozen encoder one vector a text is stored, and "
                "no states to attend to. Take pooling='mean', or freeze fewer layers."
            )
        if self.freeze == "all" and self.layer_decay != 1:
            raise ValueError(
                f"freeze='all' and layer_decay={self.layer_decay}: no layer is trained, so no layer has a "
                "learning rate. Leave layer_decay=1.0, or freeze fewer layers."
            )
        if self.freeze != "all" and self.dtype != "float32":
            raise ValueError(
                f"dtype={self.dtype!r} is for an encoder that is frozen as a whole. Pass freeze='all', or "
                "leave dtype='float32'."
            )
        return self


def as_encoder(encoder: Any) -> str | PretrainedEncoder:
    """Return the name of a word encoder, or the settings of a pretrained one.

    Parameters
    ----------
    encoder : {"attention", "gru", "cnn", "rcnn"}, PretrainedEncoder, str or path
        A path, or another string that is a folder or looks like a model's name on the hub, is the short form
        of ``PretrainedEncoder(encoder)``.

    Returns
    -------
    str or PretrainedEncoder

    Raises
    ------
    ValueError
        When a string is neither; names what it could be. The hub is not asked.
    TypeError
        When it is of another type.

    Examples
    --------
    >>> as_encoder("gru")
    'gru'
    >>> as_encoder("sentence-transformers/all-MiniLM-L6-v2")
    PretrainedEncoder(name='sentence-transformers/all-MiniLM-L6-v2')
    >>> as_encoder("atention")
    Traceback (most recent call last):
        ...
    ValueError: encoder='atention' is no encoder: did you mean 'attention'?
    """
    if isinstance(encoder, PretrainedEncoder):
        return encoder.check()
    if isinstance(encoder, PathLike):
        return PretrainedEncoder(encoder)
    if not isinstance(encoder, str):
        raise TypeError(
            f"encoder is a {type(encoder).__name__}: pass {_WORD_ENCODERS}, a PretrainedEncoder, or the name "
            "of a pretrained encoder."
        )
    if encoder in WORD_ENCODERS:
        return encoder
    if encoder and (Path(encoder).is_dir() or "/" in encoder or "\\" in encoder):
        return PretrainedEncoder(encoder)
    near = get_close_matches(encoder.lower(), WORD_ENCODERS, n=1)
    if near:
        raise ValueError(f"encoder={encoder!r} is no encoder: did you mean {near[0]!r}?")
    # Names on the hub without an organisation, such as "bert-base-uncased" and "gpt2".
    if "-" in encoder or any(character.isdigit() for character in encoder):
        return PretrainedEncoder(encoder)
    raise ValueError(
        f"encoder={encoder!r} is neither {_WORD_ENCODERS}, nor a folder here, nor like a model's name on the "
        f"Hugging Face hub. If it is one, pass PretrainedEncoder({encoder!r})."
    )


_WORD_ENCODERS = "'attention', 'gru', 'cnn' or 'rcnn'"
