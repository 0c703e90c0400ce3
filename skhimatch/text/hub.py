"""Loading pretrained encoders by name: from a folder, or from the Hugging Face hub and its local cache."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path, PureWindowsPath
from typing import Any

__all__ = ["Description", "describe", "load_model", "load_tokenizer"]

# The window of an encoder whose configuration names no limit.
NO_LIMIT = 100_000
# Far more layers than any model has: a forged configuration could ask for layers without end.
MAX_LAYERS = 10_000
# Models that reserve positions before the first token.
RESERVED_POSITIONS = ("roberta", "xlm-roberta", "camembert", "mpnet", "longformer")


@dataclass(frozen=True)
class Description:
    """What the configuration of a pretrained encoder says.

    Attributes
    ----------
    subfolder : str
        Where its weights and tokenizer are; sentence-transformers may put them into a sub-folder.
    window : int
        The maximum number of subwords that it reads at once, special ones included.
    pooling : {"cls", "mean"}
        How it was trained to compute one vector for a text; "cls" if the configuration does not say.
    """

    subfolder: str
    window: int
    pooling: str


def describe(name: str | PathLike[str]) -> Description:
    """Read an encoder's configuration.

    Parameters
    ----------
    name : str or path
        A folder, or a model's name on the hub.

    Returns
    -------
    Description

    Raises
    ------
    ImportError
        Without transformers; names the extra.
    OSError
        If there is no such model; the message says where it was looked for.
    """
    transformers = _transformers()
    with _looking_for(name):
        modules = _modules(_json(name, "modules.json"))
    subfolder = modules[0][0] if modules else ""
    with _looking_for(name):
        config = transformers.AutoConfig.from_pretrained(
            str(name), subfolder=subfolder, trust_remote_code=False
        )
    limits = [getattr(config, "max_position_embeddings", None)]
    if limits[0] is not None and config.model_type in RESERVED_POSITIONS:
        limits[0] -= (getattr(config, "pad_token_id", 1) or 0) + 1
    # Sentence encoders were trained on shorter texts than their positions allow.
    limits.append((_json(name, "sentence_bert_config.json", subfolder) or {}).get("max_seq_length"))
    window = min((limit for limit in limits if limit is not None and limit > 0), default=NO_LIMIT)
    pooling = "cls"
    for path, kind in modules:
        if kind.endswith("Pooling"):
            settings = _json(name, "config.json", path) or {}
            mean = settings.get("pooling_mode_mean_tokens") or settings.get("pooling_mode") == "mean"
            pooling = "mean" if mean else "cls"
    return Description(subfolder, window, pooling)


def load_tokenizer(name: str | PathLike[str], subfolder: str = "") -> Any:
    """Load an encoder's tokenizer.

    Parameters
    ----------
    name : str or path
        A folder, or a model's name on the hub.
    subfolder : str
        Where in it.

    Returns
    -------
    transformers.PreTrainedTokenizerBase

    Raises
    ------
    ImportError, OSError
        As `describe`.
    ValueError
        When it has no padding token.
    """
    transformers = _transformers()
    with _looking_for(name):
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            str(name), subfolder=subfolder, trust_remote_code=False
        )
    if tokenizer.pad_token_id is None:
        raise ValueError(
            f"The tokenizer of {str(name)!r} has no padding token, which texts of unlike length need to "
            "share a batch: set its `pad_token`, write it with `save_pretrained`, and pass that folder."
        )
    return tokenizer


def load_model(
    name: str | PathLike[str], subfolder: str = "", *, attention: str | None = None, **changes: Any
) -> Any:
    """Load an encoder's weights.

    Parameters
    ----------
    name : str or path
        A folder, or a model's name on the hub.
    subfolder : str
        Where in it.
    attention : str, optional
        An implementation of attention that transformers knows; its own choice by default.
    **changes
        Entries of its configuration to take in place of its own, where it has them.

    Returns
    -------
    transformers.PreTrainedModel
        In float32, on the CPU.

    Raises
    ------
    ImportError, OSError
        As `describe`; also when a folder has no weights.
    """
    transformers = _transformers()
    with _looking_for(name), _in_silence(transformers):
        config = transformers.AutoConfig.from_pretrained(
            str(name), subfolder=subfolder, trust_remote_code=False
        )
        if getattr(config, "num_hidden_layers", 0) > MAX_LAYERS:
            raise ValueError(f"Its configuration asks for {config.num_hidden_layers:,} layers.")
        for entry, value in config.to_dict().items():
            # These are added to variances: with a negative one, some texts would have no finite vector.
            is_small = value is None or (isinstance(value, float | int) and 0 < value < 1)
            if entry.endswith(("_eps", "epsilon")) and not is_small:
                raise ValueError(f"Its configuration has {entry}={value!r:.60}, which is not in (0, 1).")
        for entry, value in changes.items():
            if hasattr(config, entry):
                setattr(config, entry, value)
        return transformers.AutoModel.from_pretrained(
            str(name),
            config=config,
            subfolder=subfolder,
            dtype="float32",
            attn_implementation=attention,
            trust_remote_code=False,
        )


def _transformers() -> Any:
    try:
        import transformers
    except ImportError:
        raise ImportError(
            "Pretrained encoders need transformers: python -m pip install 'skhimatch[transformers]'"
        ) from None
    return transformers


def _json(name: str | PathLike[str], file: str, subfolder: str = "") -> Any:
    """Read a file of the model, or return None where it has no such file."""
    _transformers()
    from transformers.utils import cached_file

    with _looking_for(name):
        path = cached_file(str(name), file, subfolder=subfolder, _raise_exceptions_for_missing_entries=False)
    return None if path is None else json.loads(Path(path).read_text(encoding="utf-8"))


def _modules(stored: Any) -> list[tuple[str, str]]:
    """Return path and type of each module of sentence-transformers; a path is a folder in the model."""
    modules = [] if stored is None else stored
    if not isinstance(modules, list) or not all(isinstance(module, dict) for module in modules):
        raise ValueError("modules.json is no list of objects.")
    found = [(module.get("path"), module.get("type")) for module in modules]
    for path, kind in found:
        if not isinstance(path, str) or not isinstance(kind, str):
            raise ValueError("modules.json has a module without path or type.")
        # Windows has more forms of paths that lead outside.
        parts = PureWindowsPath(path)
        if parts.anchor or ".." in parts.parts:
            raise ValueError(f"modules.json names the folder {path!r}, which is outside of the model.")
    return found


@contextmanager
def _looking_for(name: str | PathLike[str]) -> Iterator[None]:
    """Turn the errors of transformers into one that says where the model was looked for."""
    try:
        yield
    except (OSError, ValueError) as error:
        folder, reason = Path(name), " ".join(str(error).split())
        if folder.is_dir():
            raise OSError(
                f"The folder {folder} holds no pretrained encoder that transformers can load: {reason}"
            ) from error
        raise OSError(
            f"No pretrained encoder {str(name)!r}: there is no folder of this name in {Path.cwd()}, and the "
            f"Hugging Face hub and its local cache did not give it either ({reason}) Pass a folder that "
            "`save_pretrained` wrote, or download the model where there is a network."
        ) from error


@contextmanager
def _in_silence(transformers: Any) -> Iterator[None]:
    """Suppress progress bars and reports of unused weights."""
    logging = transformers.utils.logging
    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()
