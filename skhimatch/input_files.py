"""Files as people have them: patterns and folders of them, gzip, UTF-8 or another Unicode encoding."""

from __future__ import annotations

import codecs
import glob
import gzip
import io
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import SequenceMatcher, get_close_matches
from encodings.aliases import aliases
from pathlib import Path
from typing import Any, TextIO

__all__ = ["NamedFiles", "check_encoding", "find_files", "format_of", "open_text"]

# Formats of files of texts, by which they are found in a folder.
_OF_TEXTS = (".jsonl", ".json", ".csv", ".tsv", ".parquet")

# Codecs of names of hosts, and one that always fails.
_NOT_OF_FILES = {"idna", "punycode", "undefined"}
# Files in them are not rare.
_COMMON = ("cp1252", "cp1251", "cp1250", "latin-1", "shift-jis", "gb18030", "gbk", "euc-kr", "big5")
# The first bytes of files that are not text, and what to do with them.
_NOT_TEXT = {
    b"PK\x03\x04": "is an Excel or zip file: open it in the spreadsheet program and save it as 'CSV UTF-8'",
    b"\xd0\xcf\x11\xe0": "is an Excel file: open it in the spreadsheet program and save it as 'CSV UTF-8'",
    b"PAR1": "is a parquet file: give it a name that ends in .parquet, or save it as CSV in UTF-8",
}
_GZIP = b"\x1f\x8b"
# The longer marks come first: that of UTF-16 is the start of that of UTF-32.
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    b"\xff\xfe\x00\x00": "utf-32",
    b"\x00\x00\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}


def format_of(path: str | os.PathLike[str]) -> str:
    """Return the suffix that names the format of a file, without a ``.gz`` behind it.

    Parameters
    ----------
    path : path-like
        The name of the file.

    Returns
    -------
    str
        The suffix in lower case, with its dot.

    Examples
    --------
    >>> format_of("train.CSV.gz"), format_of("taxonomy")
    ('.csv', '')
    """
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    if suffixes[-1:] == [".gz"]:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def check_encoding(name: str) -> str:
    """Refuse a name that is not the name of an encoding of text.

    Parameters
    ----------
    name : str
        A name that Python knows, such as "cp1252", "latin-1", "shift_jis" or "gb18030".

    Returns
    -------
    str
        The name that Python gives this encoding.

    Raises
    ------
    ValueError
        If there is no such encoding. The message names similar ones.

    Examples
    --------
    >>> check_encoding("Windows-1252"), check_encoding("latin1")
    ('cp1252', 'iso8859-1')
    """
    try:
        found: Any = codecs.lookup(name)
    except (LookupError, ValueError):
        found = None
    # Python also has codecs that are no encodings of texts in files, such as base64 and idna.
    if found is not None and found._is_text_encoding and found.name not in _NOT_OF_FILES:
        return found.name
    known = {key.replace("_", "-") for pair in aliases.items() for key in pair}
    texts = sorted(key for key in known if _is_text(key))
    given = name.lower().replace("_", "-")
    similar = get_close_matches(given, texts, n=10)
    # Of equally similar ones the commonest.
    similar.sort(key=lambda text: (-SequenceMatcher(None, text, given).ratio(), text not in _COMMON))
    near = similar[:3]
    others = f"did you mean {' or '.join(near)}?" if near else "some are cp1252, shift-jis and gb18030"
    raise ValueError(f"there is no encoding {name!r}; {others}")


def _is_text(name: str) -> bool:
    try:
        found: Any = codecs.lookup(name)
    except LookupError:
        # The encodings of Windows are known there only.
        return False
    return found._is_text_encoding


@dataclass(frozen=True)
class NamedFiles:
    """The files that a user named.

    Attributes
    ----------
    paths : list of Path
        In order.
    is_one : bool
        Whether one file was named, as such: no pattern and no folder.
    """

    paths: list[Path]
    is_one: bool


def find_files(names: Sequence[str]) -> NamedFiles:
    """Find the files that names, patterns and folders stand for.

    Parameters
    ----------
    names : sequence of str
        Files, patterns such as ``"part-*.parquet"``, and folders. In a folder, files of texts are taken by
        their suffix; those that begin with a dot or an underscore are not.

    Returns
    -------
    NamedFiles
        Those of a pattern or a folder are sorted. No file is there twice.

    Raises
    ------
    FileNotFoundError
        If a pattern or a folder has no file.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("b.csv", "a.csv", "_SUCCESS", "notes.txt"):
    ...         Path(folder, name).touch()
    ...     found = find_files([folder])
    >>> [path.name for path in found.paths], found.is_one
    (['a.csv', 'b.csv'], False)
    """
    paths: dict[Path, None] = {}
    is_one = len(names) == 1
    for name in names:
        path = Path(name)
        if path.is_dir():
            found = sorted(file for file in path.iterdir() if _is_of_texts(file))
            missing = f"the folder {name} has no file that ends in {', '.join(_OF_TEXTS)}"
        elif not path.exists() and glob.has_magic(name):
            found = sorted(map(Path, glob.glob(name)))
            missing = f"no file fits the pattern {name}"
        else:
            paths[path] = None
            continue
        is_one = False
        if not found:
            raise FileNotFoundError(f"{missing}: name files of texts")
        paths |= dict.fromkeys(found)
    return NamedFiles(list(paths), is_one)


def _is_of_texts(path: Path) -> bool:
    return path.is_file() and path.name[0] not in "._" and format_of(path) in _OF_TEXTS


@contextmanager
def open_text(
    path: str | os.PathLike[str],
    *,
    newline: str | None = "\n",
    errors: str = "surrogatepass",
    encoding: str | None = None,
) -> Iterator[TextIO]:
    r"""Open a text file, and name the file in the errors of its encoding.

    Files in gzip are decompressed. A byte order mark is not part of the text: it says that a file is in
    UTF-8, UTF-16 or UTF-32, whatever `encoding` is. Other files are in this encoding.

    Parameters
    ----------
    path : path-like
        The file.
    newline : {"\\n", "", None}, default="\\n"
        As in `open`.
    errors : str, default="surrogatepass"
        As in `open`. By default lone surrogates are read, and other bytes that are not in the encoding are
        an error.
    encoding : str, optional
        The encoding of a file without a byte order mark, such as "cp1252" or "shift_jis". By default UTF-8.

    Yields
    ------
    file object
        The text.

    Raises
    ------
    ValueError
        If the file is not text, not in this encoding, or its gzip data are damaged, or there is no such
        encoding. The message says what to do.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "labels.txt.gz")
    ...     _ = file.write_bytes(gzip.compress("a\nb\n".encode("utf-8-sig")))
    ...     with open_text(file) as lines:
    ...         print(list(lines))
    ['a\n', 'b\n']
    """
    used = "utf-8" if encoding is None else check_encoding(encoding)
    marked = None
    try:
        with _open_binary(path) as file:
            start = _start(file)
            for mark, remedy in _NOT_TEXT.items():
                if start.startswith(mark):
                    raise ValueError(f"{path} {remedy}")
            marked = next((name for mark, name in _MARKS.items() if start.startswith(mark)), None)
            used = marked or used
            if used.startswith("utf-8") and b"\0" in start:
                raise ValueError(
                    f"{path} is not in UTF-8, since it has bytes of value 0: save it in UTF-8, "
                    "for instance in Excel as 'CSV UTF-8'"
                )
            with io.TextIOWrapper(file, encoding=used, errors=errors, newline=newline) as text:
                yield text
    except UnicodeError as error:
        if not isinstance(error, UnicodeDecodeError) and not str(error).endswith("does not start with BOM"):
            raise
        if marked in ("utf-16", "utf-32"):
            raise ValueError(f"{path} begins as {used.upper()}, but is damaged ({error})") from error
        raise ValueError(_not_in(path, used, errors)) from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is damaged or incomplete gzip data ({error}): copy it again") from error


@contextmanager
def _open_binary(path: str | os.PathLike[str]) -> Iterator[io.BufferedReader]:
    """Open a file, decompressed if it is in gzip."""
    with open(path, "rb") as file:
        if _start(file).startswith(_GZIP):
            unpacked: Any = gzip.GzipFile(fileobj=file)
            with io.BufferedReader(unpacked) as reader:
                yield reader
        else:
            yield file


def _start(file: io.BufferedReader) -> bytes:
    """Return the first bytes of a file, without reading on."""
    return file.peek(4)[:4]


def _not_in(path: str | os.PathLike[str], encoding: str, errors: str) -> str:
    """Say which line is not in an encoding, and what to do."""
    name = encoding.upper().removesuffix("-SIG")
    if name in ("UTF-16", "UTF-32"):
        return f"{path} has no byte order mark: its encoding is {name.lower()}-le or {name.lower()}-be"
    place = ""
    # In these encodings, bytes of line breaks are parts of other characters, too.
    if not name.startswith(("UTF-16", "UTF-32")):
        place = _place_of_error(path, encoding, errors)
    if not name.startswith("UTF-8"):
        return f"{path} is not in {encoding}{place}: name another encoding, or save the file in UTF-8"
    return (
        f"{path} is not in UTF-8{place}: save it in that encoding, for instance in Excel as 'CSV UTF-8', or "
        "pass its encoding: --encoding cp1252 (in Python encoding='cp1252') if it is from Windows in a "
        "Western European language"
    )


def _place_of_error(path: str | os.PathLike[str], encoding: str, errors: str) -> str:
    with _open_binary(path) as lines:
        for number, line in enumerate(lines, start=1):
            try:
                line.decode(encoding, errors)
            except UnicodeDecodeError as error:
                return f" (byte {line[error.start]:#x} in line {number})"
    return ""
