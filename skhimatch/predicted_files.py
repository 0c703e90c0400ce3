"""Predicting files of texts: any size, one file or many, and again from where a run was stopped."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import skhimatch
from skhimatch.classifier import HiMatchClassifier
from skhimatch.evaluation.decisions import check_k
from skhimatch.input_files import format_of
from skhimatch.output_files import check_output, replacing, replacing_text, unfinished_files
from skhimatch.predicted_labels import WantedLabels
from skhimatch.progress import on_screen, progress_bar
from skhimatch.storage.folder import MANIFEST, digest_of_file
from skhimatch.text.columns import Columns
from skhimatch.text.predictions import FORMATS, Writer, binary_writer, check_format
from skhimatch.text.row_blocks import Survey, read_blocks, survey

__all__ = ["predict_file", "predict_folder"]

# The folder in an output folder that says what is done. Readers of parquet skip names with such a beginning.
DONE = ".done"


def predict_file(
    classifier: HiMatchClassifier,
    wanted: WantedLabels,
    columns: Columns,
    path: Path,
    source: Survey,
    writer: Writer,
) -> None:
    """Predict the rows of a file in order, and write each of them once.

    Parameters
    ----------
    classifier : HiMatchClassifier
        The fitted classifier.
    wanted : WantedLabels
        Which labels are written.
    columns : Columns
        What holds the texts.
    path : Path
        The file. A block of its rows is in memory at a time.
    source : Survey
        What it holds.
    writer : Writer
        Where the rows are written.

    Raises
    ------
    ValueError
        If the file was changed while it was read.
    """
    n_texts = 0
    with progress_bar(source.n_texts, path.name, shown=on_screen() and source.n_texts >= 5000) as bar:
        for block in read_blocks(path, columns, source.encoding):
            n_texts += len(block.texts)
            if n_texts > source.n_texts:
                break
            found = (
                labels
                for probabilities in classifier.iter_predict_proba(block.texts)
                for labels in wanted.of(classifier, probabilities)
            )
            writer.write(block, found)
            bar.update(len(block.texts))
    if n_texts != source.n_texts:
        raise ValueError(f"{path} was changed while it was read: predict it again when it is complete")


@dataclass(frozen=True)
class _Work:
    """What an output depends on. It is stored when the output is complete.

    Attributes
    ----------
    input, model : str
        The digests of the input and of the classifier.
    format : str
        The format of the output.
    encoding : str or None
        The encoding of the input, if it was named.
    text_column : str
        The column of the texts.
    threshold : float or None
        As in `WantedLabels`.
    top_k : int or None
        As in `WantedLabels`.
    version : str
        The version of this package.
    """

    input: str
    model: str
    format: str
    encoding: str | None
    text_column: str
    threshold: float | None
    top_k: int | None
    version: str = skhimatch.__version__


def predict_folder(
    model: Path,
    inputs: Sequence[Path],
    folder: Path,
    *,
    columns: Columns,
    wanted: WantedLabels,
    format: str | None = None,
    encoding: str | None = None,
    say: Callable[[str], None] = print,
) -> None:
    """Predict files into a folder, one output for each input, with the same name.

    An output takes its name when it is complete. Files that are done are skipped, if neither their content
    nor the classifier nor the other arguments have changed since. So a run that was stopped is called again.
    Several processes may write into one folder, if each has inputs of its own.

    Parameters
    ----------
    model : Path
        The folder of a saved classifier.
    inputs : sequence of Path
        Files as `read_texts` describes them.
    folder : Path
        Where the outputs are written. It is made if it does not exist.
    columns : Columns
        What holds the texts.
    wanted : WantedLabels
        Which labels are written.
    format : {"jsonl", "csv", "tsv", "parquet"}, optional
        The format of all outputs. By default each has that of its input, and records of JSON are json lines.
    encoding : str, optional
        The encoding of all text files, as in `read_texts`.
    say : callable
        Called with one line for each file.

    Raises
    ------
    ValueError
        If two outputs have the same name, or an output is one of the inputs; or as in `survey`. The files
        that were complete before remain.
    FileNotFoundError
        If an input does not exist.
    NotADirectoryError
        If there is a file in place of the folder.
    """
    outputs = _outputs(inputs, folder, format)
    if folder.exists() and not folder.is_dir():
        problem = f"{os.strerror(errno.ENOTDIR)}: several files are predicted into a folder, so name one"
        raise NotADirectoryError(errno.ENOTDIR, problem, str(folder))
    folder.mkdir(parents=True, exist_ok=True)
    for path in inputs:
        # An error for a file that is not there, before hours of work on others.
        path.open("rb").close()
    for output in outputs.values():
        check_output(output, *inputs)
    of_model = digest_of_file(model / MANIFEST) if (model / MANIFEST).is_file() else ""

    left: dict[Path, Path] = {}
    for path, output in outputs.items():
        stored = _stored_work(output)
        if stored is not None and stored == asdict(_work(path, output, of_model, columns, wanted, encoding)):
            say(f"{output}: done before")
        else:
            left[path] = output
    if not left:
        return
    classifier = HiMatchClassifier.load(model).set_params(verbose=0)
    if wanted.top_k is not None:
        check_k(wanted.top_k, len(classifier.classes_))
    for format_of_output in {output.suffix.removeprefix(".") for output in left.values()}:
        check_format(format_of_output, classifier.classes_)
    for path, output in left.items():
        # The digest comes first: an input that is changed later does not count as done.
        work = _work(path, output, of_model, columns, wanted, encoding)
        source = survey(path, columns, encoding)
        for unfinished in unfinished_files(output):
            unfinished.unlink(missing_ok=True)
        # An old record is not one of the new output.
        _record(output).unlink(missing_ok=True)
        with replacing(output) as file, binary_writer(file, work.format, source) as writer:
            predict_file(classifier, wanted, columns, path, source, writer)
        _record(output).parent.mkdir(exist_ok=True)
        with replacing_text(_record(output)) as record:
            json.dump(asdict(work), record, indent=1)
        say(f"{output}: {source.n_texts:,} texts")


def _outputs(inputs: Sequence[Path], folder: Path, format: str | None) -> dict[Path, Path]:
    """Return the output of each input."""
    outputs: dict[Path, Path] = {}
    sources: dict[Path, Path] = {}
    for path in inputs:
        name = path.name.removesuffix(path.suffix) if path.suffix.lower() == ".gz" else path.name
        own = format_of(path).removeprefix(".")
        chosen = format or (own if own in FORMATS else "jsonl")
        output = folder / Path(name).with_suffix(f".{chosen}")
        if output in sources:
            raise ValueError(
                f"{sources[output]} and {path} would both be written to {output}: give them other names, or "
                "predict them into two folders"
            )
        sources[output] = path
        outputs[path] = output
    return outputs


def _record(output: Path) -> Path:
    return output.parent / DONE / f"{output.name}.json"


def _work(
    path: Path, output: Path, of_model: str, columns: Columns, wanted: WantedLabels, encoding: str | None
) -> _Work:
    format = output.suffix.removeprefix(".")
    return _Work(
        digest_of_file(path), of_model, format, encoding, columns.text, wanted.threshold, wanted.top_k
    )


def _stored_work(output: Path) -> Any:
    """Return what an output that is there was made of, or None."""
    if not output.is_file():
        return None
    try:
        return json.loads(_record(output).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
