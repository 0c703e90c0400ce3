"""The digest at the end of an ONNX file, by which a damaged file is recognised.

An ONNX file is a message of protocol buffers, and two messages behind each other are one: their repeated
fields are put together. So the digest is an entry of the metadata like others, and its place is always the
end.
"""

from __future__ import annotations

import hashlib

__all__ = ["check_digest", "with_digest"]

KEY = b"skhimatch.sha256"
# In hexadecimal digits.
DIGEST_LENGTH = 64
# The tags of ModelProto.metadata_props, StringStringEntryProto.key and StringStringEntryProto.value.
ENTRY, NAME, VALUE = b"\x72", b"\x0a", b"\x12"


def with_digest(model: bytes) -> bytes:
    """Return a model with its digest.

    Parameters
    ----------
    model : bytes
        An ONNX model.

    Returns
    -------
    bytes
        The same model, with an entry of the metadata.
    """
    return model + _entry(model)


def check_digest(data: bytes) -> None:
    """Raise a ValueError if a model is not as `with_digest` returned it.

    Parameters
    ----------
    data : bytes
        An ONNX file.

    Raises
    ------
    ValueError
        When there is no digest at its end, or one of other bytes.

    Examples
    --------
    >>> check_digest(with_digest(b"model"))
    >>> check_digest(with_digest(b"model")[1:])
    Traceback (most recent call last):
        ...
    ValueError: its SHA-256 is not the one at its end
    """
    entry = _entry(b"")
    model, found = data[: -len(entry)], data[-len(entry) :]
    if found[:-DIGEST_LENGTH] != entry[:-DIGEST_LENGTH]:
        raise ValueError("it does not end as to_onnx writes it")
    if found != _entry(model):
        raise ValueError("its SHA-256 is not the one at its end")


def _entry(model: bytes) -> bytes:
    digest = hashlib.sha256(model).hexdigest().encode()
    content = _field(NAME, KEY) + _field(VALUE, digest)
    return _field(ENTRY, content)


def _field(tag: bytes, content: bytes) -> bytes:
    # The length is one byte: it is below 128 here.
    return tag + bytes([len(content)]) + content
