"""The command line: ``python -m skhimatch demo | fit | predict | evaluate | explain | report | serve``."""

# Only what --help needs is imported here, so that --help is fast.
from __future__ import annotations

import argparse
import io
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from skhimatch import __version__
from skhimatch.input_files import check_encoding, find_files
from skhimatch.output_files import check_output, replacing
from skhimatch.serving.limits import Limits

if TYPE_CHECKING:
    from skhimatch.classifier import HiMatchClassifier
    from skhimatch.labels.hierarchy import LabelHierarchy
    from skhimatch.text.columns import Columns
    from skhimatch.text.path_files import TextsWithPaths

__all__ = ["main"]

# Lines that a message names of those that are left out.
SHOWN_PLACES = 3

TEXTS = """\
files of texts, in UTF-8 (see --encoding), or compressed (.gz); the suffix names the format:
  .jsonl .json   each line is an object:
                 {"text": "a wave in a field", "labels": ["science", "physics"]}
                 or the file is one array of such objects
  .csv           text,labels
                 a wave in a field,science|physics
                 or with semicolons; if a label contains |, use json lines
  .tsv           the same with tabs
  .parquet       the columns text and labels; it needs pyarrow
Columns of other names are named with --text-column and --label-column.
"""
PATHS = """\
Without --hierarchy, labels that are paths make the hierarchy, and ancestors are added:
                 title,category
                 Leather case,Electronics > Phones > Cases;Sale
What separates paths and their components is recognised and shown, or named with --path-separator
and --label-separator. Levels in columns of their own: --label-column level1 level2 level3
Rows without a text or a category are counted and left out. In a column called labels, an empty
field means that no label applies.
"""
HIERARCHY = """\
file of the hierarchy, in UTF-8 (see --encoding), or compressed (.gz); the suffix names the format:
  .json          {"science": ["physics", "biology"], "sport": ["tennis"]}   of any depth
  any other      each line is a parent and its children, separated by tabs:
                 science<TAB>physics<TAB>biology
                 sport<TAB>tennis
                 or a csv table with the header parent,child
                 or each line is a path, such as science > physics
                 or a tree, indented with tabs or with spaces
"""
ABOUT = """\
Hierarchical text classification by label-semantics matching.

  python -m skhimatch demo                                             a demo, compared with an SVM
  python -m skhimatch fit --train train.jsonl --hierarchy news.json --model news-model
  python -m skhimatch predict --model news-model --input new.jsonl     print labels as json lines
  python -m skhimatch evaluate --model news-model --input test.jsonl   print its scores
  python -m skhimatch explain --model news-model --text "a wave"       say why
  python -m skhimatch report --model news-model --input test.jsonl --output report.html
  python -m skhimatch serve news-model                                 answer requests over HTTP

Help for each command and its files:  python -m skhimatch fit --help
"""
ABOUT_DEMO = """\
Train on the docstrings of the installed numpy, scipy, scikit-learn, torch and joblib. The labels
of a docstring are its library, subpackage and module. TF-IDF + linear SVM is trained too, for
comparison.

  python -m skhimatch demo --output skhimatch-demo
"""
ABOUT_FIT = """\
Train a classifier and save it.

  python -m skhimatch fit --train train.jsonl --hierarchy news.json --model news-model
  python -m skhimatch fit --train products.csv --text-column title --label-column category \\
      --path-separator " > " --label-separator ";" --model product-model
  python -m skhimatch fit --train train.csv --validation val.csv --hierarchy news.taxonomy \\
      --word-vectors glove.6B.300d.txt --epochs 20 --seed 0 --model news-model
"""
ABOUT_PREDICT = """\
Write the predicted labels of each text, roots first, behind the other fields of its row. The suffix
of --output names the format: .csv, .tsv, .parquet, or else json lines. A field of the input that is
called labels becomes given_labels. Rows are read and written in blocks, so files may be larger than
memory.

  python -m skhimatch predict --model news-model --input new.jsonl --output labels.csv
  python -m skhimatch predict --model news-model --input 'part-*.parquet' --output out/
  echo '{"text": "a wave in a field"}' | python -m skhimatch predict --model news-model --input -

  {"text": "a wave in a field", "labels": ["science", "physics"],
   "probabilities": {"science": 0.98, "physics": 0.93}}                     (in one line)

Several files are predicted into a folder, one output for each. Call the command again after it was
stopped: files that are done are skipped, if they have not changed.
"""
ABOUT_EVALUATE = """\
Score the predictions of a saved classifier on texts with known labels: F1 over all labels and by
level, hierarchical precision, recall and F1, and the share of texts whose predicted labels lack an
ancestor.

  python -m skhimatch evaluate --model news-model --input test.jsonl
"""
ABOUT_EXPLAIN = """\
Say why a text gets its labels: the words for and against each label, what each part of the
classifier says, and what would change the decision. Or say what is known of a label.

  python -m skhimatch explain --model news-model --text "a wave in a field"
  python -m skhimatch explain --model news-model --label physics
"""
ABOUT_REPORT = """\
Write one page of HTML about a saved classifier on texts with known labels: scores, pictures, the
tree of labels, and the most wrong texts with explanations. It needs matplotlib.

  python -m skhimatch report --model news-model --input test.jsonl --output report.html
"""

ABOUT_SERVE = """\
Answer requests over HTTP with a saved classifier. It needs FastAPI and uvicorn:
python -m pip install "skhimatch[serve]"

  python -m skhimatch serve news-model --port 8000
  curl localhost:8000/predict -H "Content-Type: application/json" -d '{"texts": ["a wave"]}'
  curl localhost:8000/explain -H "Content-Type: application/json" -d '{"text": "a wave"}'
  curl localhost:8000/health

/docs describes the requests. SIGTERM or Ctrl-C stops the server: no new connection is accepted,
and the requests that were accepted are answered.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments, by default those of the process.

    Returns
    -------
    int
        The exit status: 0, 1 if the output is a closed pipe, 2 after an error in the input, 130 after Ctrl-C.
    """
    arguments = vars(_parser().parse_args(argv))
    run = arguments.pop("run")
    if isinstance(sys.stdout, io.TextIOWrapper):
        # The default encoding of a pipe may lack characters of the texts and of the bar charts.
        sys.stdout.reconfigure(encoding="utf-8")
    try:
        if arguments.get("encoding") is not None:
            check_encoding(arguments["encoding"])
        run(**arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("\nskhimatch: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader, such as head, has stopped. Without this line Python reports an error at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (OSError, ImportError, ValueError, TypeError, ArithmeticError) as error:
        print(f"skhimatch: error: {_in_one_line(error)}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("skhimatch", description=ABOUT, formatter_class=_Raw)
    parser.add_argument("--version", action="version", version=f"skhimatch {__version__}")
    commands = parser.add_subparsers(required=True)
    file: dict[str, Any] = {"metavar": "FILE", "type": Path}
    folder: dict[str, Any] = {"metavar": "FOLDER", "type": Path}
    number: dict[str, Any] = {"metavar": "N", "type": int}

    demo = commands.add_parser("demo", description=ABOUT_DEMO, formatter_class=_Raw)
    demo.set_defaults(run=_demo)
    demo.add_argument(
        "--output",
        **folder,
        default=Path("skhimatch-demo"),
        help="where to save the model and a chart (default: skhimatch-demo)",
    )
    demo.add_argument("--seed", **number, default=0, help="random seed (default: 0)")

    fit = commands.add_parser(
        "fit", description=ABOUT_FIT, epilog=f"{TEXTS}\n{HIERARCHY}\n{PATHS}", formatter_class=_Raw
    )
    fit.set_defaults(run=_fit)
    fit.add_argument("--train", **file, required=True, help="training texts and their labels")
    fit.add_argument("--model", **folder, required=True, help="where to save the classifier")
    fit.add_argument(
        "--hierarchy", **file, help="parents and children (default: those of labels that are paths)"
    )
    _add_columns(fit)
    fit.add_argument(
        "--validation",
        **file,
        help="texts and labels to choose the best epoch (default: a tenth of the training texts)",
    )
    fit.add_argument("--word-vectors", **file, help="GloVe or word2vec vectors, a text file or .gz")
    fit.add_argument("--encoder", metavar="NAME", help="pretrained encoder: a folder or a name on the hub")
    fit.add_argument("--freeze", action="store_true", help="do not train the encoder, which is much faster")
    fit.add_argument("--epochs", **number, help="maximum number of epochs")
    fit.add_argument("--max-length", **number, help="maximum number of words that are read of a text")
    fit.add_argument("--seed", **number, help="random seed, for repeatable training")

    predict = commands.add_parser("predict", description=ABOUT_PREDICT, epilog=TEXTS, formatter_class=_Raw)
    predict.set_defaults(run=_predict)
    predict.add_argument("--model", **folder, required=True, help="folder that fit wrote")
    predict.add_argument(
        "--input",
        metavar="FILE",
        nargs="+",
        required=True,
        help="texts: a file; several, a pattern in quotes or a folder, with a folder as --output; or - "
        "for json lines or csv from standard input",
    )
    predict.add_argument("--output", metavar="FILE", help="file of labels, or folder (default: print them)")
    predict.add_argument(
        "--format",
        choices=["jsonl", "csv", "tsv", "parquet"],
        help="the format (default: as --output says, or jsonl; in a folder, that of the input)",
    )
    predict.add_argument(
        "--text-column", metavar="NAME", default="text", help="the column of the texts (default: text)"
    )
    _add_encoding(predict)
    predict.add_argument(
        "--threshold", metavar="P", type=float, help="the probability from which on labels are predicted"
    )
    predict.add_argument("--top-k", **number, help="write the N most probable labels of each text instead")

    evaluate = commands.add_parser("evaluate", description=ABOUT_EVALUATE, epilog=TEXTS, formatter_class=_Raw)
    evaluate.set_defaults(run=_evaluate)
    evaluate.add_argument("--model", **folder, required=True, help="folder that fit wrote")
    evaluate.add_argument("--input", **file, required=True, help="texts and their true labels")
    _add_columns(evaluate)

    explain = commands.add_parser("explain", description=ABOUT_EXPLAIN, formatter_class=_Raw)
    explain.set_defaults(run=_explain)
    explain.add_argument("--model", **folder, required=True, help="folder that fit wrote")
    what = explain.add_mutually_exclusive_group(required=True)
    what.add_argument("--text", metavar="TEXT", help="the text to explain")
    what.add_argument("--label", metavar="NAME", help="the label to explain")

    report = commands.add_parser("report", description=ABOUT_REPORT, epilog=TEXTS, formatter_class=_Raw)
    report.set_defaults(run=_report)
    report.add_argument("--model", **folder, required=True, help="folder that fit wrote")
    report.add_argument("--input", **file, required=True, help="texts and their true labels")
    report.add_argument("--output", **file, required=True, help="the page, such as report.html")
    report.add_argument("--errors", **number, default=10, help="wrong texts to show (default: 10)")
    _add_columns(report)

    serve = commands.add_parser("serve", description=ABOUT_SERVE, formatter_class=_Raw)
    serve.set_defaults(run=_serve)
    serve.add_argument("model", metavar="MODEL", type=Path, help="folder that fit wrote")
    serve.add_argument(
        "--host", metavar="NAME", default="127.0.0.1", help="the address (default: 127.0.0.1, this machine)"
    )
    serve.add_argument("--port", **number, default=8000, help="the port, 0 for a free one (default: 8000)")
    usual = Limits()
    for option, value, limited in (
        ("--max-body", usual.body_bytes, "bytes of a request"),
        ("--max-texts", usual.texts, "texts of a request"),
        ("--max-characters", usual.characters, "characters of a text"),
        ("--max-waiting", usual.waiting_texts, "texts that wait for a prediction"),
        ("--max-explanations", usual.waiting_explanations, "explanations that are made or wait"),
        ("--stop-seconds", 60, "seconds that accepted requests have after SIGTERM"),
    ):
        serve.add_argument(option, **number, default=value, help=f"{limited} (default: {value:,})")
    return parser


def _add_encoding(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--encoding",
        metavar="NAME",
        help="the encoding of text files without a byte order mark: cp1252, shift_jis (default: utf-8)",
    )


def _add_columns(command: argparse.ArgumentParser) -> None:
    _add_encoding(command)
    command.add_argument(
        "--text-column", metavar="NAME", default="text", help="the column of the texts (default: text)"
    )
    command.add_argument(
        "--label-column",
        metavar="NAME",
        nargs="+",
        default=["labels"],
        help="the column of the labels (default: labels), or those of the levels of a path",
    )
    command.add_argument(
        "--path-separator",
        metavar="S",
        help='between the parts of a path, such as " > " (default: recognised)',
    )
    command.add_argument(
        "--label-separator", metavar="S", help='between several labels: ";" (default: recognised)'
    )


class _Raw(argparse.RawDescriptionHelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28, width=100)


def _demo(output: Path, seed: int) -> None:
    from skhimatch.demo import run

    run(output, seed)


def _fit(
    train: Path,
    model: Path,
    hierarchy: Path | None,
    encoding: str | None,
    text_column: str,
    label_column: list[str],
    path_separator: str | None,
    label_separator: str | None,
    validation: Path | None,
    word_vectors: Path | None,
    encoder: str | None,
    freeze: bool,
    epochs: int | None,
    max_length: int | None,
    seed: int | None,
) -> None:
    from skhimatch.labels.formats import as_hierarchy
    from skhimatch.text.columns import Columns

    columns = Columns(text_column, tuple(label_column))
    held = label_texts = None
    if hierarchy is not None:
        known = as_hierarchy(hierarchy, encoding)
        read = partial(_read_with_hierarchy, known, columns, path_separator, label_separator, encoding)
        texts, label_sets = read(train)
        held = None if validation is None else read(validation)
    else:
        found = _read_with_paths(train, columns, path_separator, label_separator, encoding)
        texts, label_sets, known = found.texts, found.label_sets, found.hierarchy
        label_texts = None if known.is_flat else found.label_texts
        if validation is not None:
            of_validation = _read_with_paths(
                validation, columns, found.path_separator, found.label_separator, encoding
            )
            _check_known(of_validation, known)
            held = of_validation.texts, of_validation.label_sets

    # torch takes seconds to import, so the files are checked before.
    from skhimatch.classifier import HiMatchClassifier
    from skhimatch.persistence import check_folder
    from skhimatch.text.pretrained import WORD_ENCODERS, PretrainedEncoder
    from skhimatch.text.words import WordTokenizer

    check_folder(model)
    settings: dict[str, Any] = {"word_vectors": word_vectors, "random_state": seed, "verbose": 1}
    if encoder not in (None, *WORD_ENCODERS):
        settings["encoder"] = PretrainedEncoder(encoder, freeze="all" if freeze else None)
    elif freeze:
        raise ValueError("--freeze is for a pretrained encoder: name one with --encoder")
    elif encoder is not None:
        settings["encoder"] = encoder
    if epochs is not None:
        settings["max_epochs"] = epochs
    if max_length is not None:
        settings["tokenizer"] = WordTokenizer(max_length=max_length)
    print(f"{len(texts):,} texts, {known!r}\n", flush=True)
    held_texts, held_labels = (None, None) if held is None else held
    classifier = HiMatchClassifier(None if known.is_flat else known, label_texts=label_texts, **settings)
    classifier.fit(texts, label_sets, X_val=held_texts, y_val=held_labels)
    classifier.save(model)
    print()
    if validation is not None and held is not None:
        _print_report(classifier, validation.name, *held)
    elif classifier.validation_f1_ is not None:
        micro, macro = classifier.validation_f1_
        print(f"On held-out training texts: micro-F1 {micro:.3f}, macro-F1 {macro:.3f}")
    options = ["--model", str(model), "--input", "FILE"]
    if text_column != Columns().text:
        options += ["--text-column", text_column]
    if encoding is not None:
        options += ["--encoding", encoding]
    print(f"\nSaved. To predict:  python -m skhimatch predict {shlex.join(options)}")


def _predict(
    model: Path,
    input: list[str],
    output: str | None,
    format: str | None,
    encoding: str | None,
    text_column: str,
    threshold: float | None,
    top_k: int | None,
) -> None:
    from skhimatch.text.columns import Columns
    from skhimatch.text.predictions import FORMATS, binary_writer, check_format, text_writer
    from skhimatch.text.row_blocks import survey

    if threshold is not None and top_k is not None:
        raise ValueError("--threshold and --top-k both say which labels are written: take one of them")
    if threshold is not None and not 0 <= threshold <= 1:
        raise ValueError(f"--threshold is {threshold:g}: pass a probability, from 0 to 1")
    if top_k is not None and top_k < 1:
        raise ValueError(f"--top-k is {top_k}: pass 1 or more")
    columns = Columns(text_column, ())
    file = None if output is None else Path(output)
    found = find_files(input)
    if not found.is_one or (output is not None and output.endswith("/")):
        if file is None:
            raise ValueError("several files are predicted into a folder: name it with --output")
        from skhimatch.predicted_files import predict_folder
        from skhimatch.predicted_labels import WantedLabels

        wanted = WantedLabels(top_k, threshold)
        predict_folder(
            model, found.paths, file, columns=columns, wanted=wanted, format=format, encoding=encoding
        )
        return
    if file is not None:
        check_output(file, Path(input[0]))
    if format is None:
        suffix = "" if file is None else file.suffix.lower().removeprefix(".")
        format = suffix if suffix in FORMATS else "jsonl"
    if format == "parquet" and file is None:
        raise ValueError("a parquet file is not printed: name a file with --output")
    check_format(format, ())
    with _spooled(sys.stdin.buffer) if input == ["-"] else nullcontext(Path(input[0])) as path:
        source = survey(path, columns, encoding)
        if not source.n_texts:
            raise ValueError(f"{input[0]} has no text")

        from skhimatch.classifier import HiMatchClassifier
        from skhimatch.predicted_files import predict_file
        from skhimatch.predicted_labels import WantedLabels

        classifier = HiMatchClassifier.load(model)
        check_format(format, classifier.classes_)
        rows = partial(predict_file, classifier, WantedLabels(top_k, threshold), columns, path, source)
        if file is None:
            rows(text_writer(sys.stdout, format, source))
            return
        with replacing(file) as written, binary_writer(written, format, source) as writer:
            rows(writer)


@contextmanager
def _spooled(stream: BinaryIO) -> Iterator[Path]:
    """Copy a stream into a file, with the suffix of its format: json, or csv."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "standard input")
        with path.open("wb") as copy:
            shutil.copyfileobj(stream, copy)
        with path.open("rb") as copy:
            is_json = copy.read(1024).lstrip()[:1] in (b"{", b"[")
        yield path.rename(path.with_suffix(".jsonl" if is_json else ".csv"))


def _evaluate(
    model: Path,
    input: Path,
    encoding: str | None,
    text_column: str,
    label_column: list[str],
    path_separator: str | None,
    label_separator: str | None,
) -> None:
    from skhimatch.classifier import HiMatchClassifier
    from skhimatch.text.columns import Columns

    classifier = HiMatchClassifier.load(model)
    columns = Columns(text_column, tuple(label_column))
    separators = (path_separator, label_separator)
    labelled = _read_known(classifier.hierarchy_, columns, *separators, encoding, input)
    _print_report(classifier, input.name, *labelled)


def _explain(model: Path, text: str | None, label: str | None) -> None:
    from skhimatch.classifier import HiMatchClassifier

    classifier = HiMatchClassifier.load(model)
    if label is not None:
        print(classifier.explain_label(label))
    else:
        print(classifier.explain(text))


def _report(
    model: Path,
    input: Path,
    output: Path,
    errors: int,
    encoding: str | None,
    text_column: str,
    label_column: list[str],
    path_separator: str | None,
    label_separator: str | None,
) -> None:
    from skhimatch.classifier import HiMatchClassifier
    from skhimatch.report_page.page import write_report
    from skhimatch.text.columns import Columns

    check_output(output, input)
    classifier = HiMatchClassifier.load(model)
    columns = Columns(text_column, tuple(label_column))
    separators = (path_separator, label_separator)
    texts, label_sets = _read_known(classifier.hierarchy_, columns, *separators, encoding, input)
    title = f"{model.name} on {input.name}"
    write_report(classifier, texts, label_sets, output, title=title, n_errors=errors)
    print(f"{output} written: open it in a browser")


def _serve(
    model: Path,
    host: str,
    port: int,
    max_body: int,
    max_texts: int,
    max_characters: int,
    max_waiting: int,
    max_explanations: int,
    stop_seconds: int,
) -> None:
    from skhimatch.serving.installed import check_installed

    check_installed("fastapi", "uvicorn")
    if max_waiting < max_texts:
        raise ValueError(
            f"--max-waiting is {max_waiting}, so a request of {max_texts} texts would never be accepted: "
            "raise it, or lower --max-texts"
        )
    limits = Limits(max_body, max_texts, max_characters, max_waiting, max_explanations)

    from skhimatch.classifier import HiMatchClassifier
    from skhimatch.serving.application import create_app
    from skhimatch.serving.server import serve
    from skhimatch.storage.folder import MANIFEST, digest_of_file

    classifier = HiMatchClassifier.load(model)
    # The manifest names all files with their digests, so all copies of one save have the same version.
    name, version = model.resolve().name, digest_of_file(model / MANIFEST)[:12]
    # What is computed once is not left to the first request.
    classifier.predict_proba([""])
    app = create_app(classifier, limits, name=name, version=version)

    def listening(url: str) -> None:
        print(f"{name} ({version}), {len(classifier.classes_):,} labels, at {url}", flush=True)

    serve(app, host, port, stop_seconds=stop_seconds, listening=listening)
    print("stopped")


def _read_known(
    known: LabelHierarchy,
    columns: Columns,
    path_separator: str | None,
    label_separator: str | None,
    encoding: str | None,
    path: Path,
) -> tuple[list[str], list[frozenset[str]]]:
    """Read texts with labels that a classifier knows; where these are paths, from paths."""
    from skhimatch.labels.paths import JOINT

    if not any(JOINT in label for label in known):
        return _read_with_hierarchy(known, columns, path_separator, label_separator, encoding, path)
    found = _read_with_paths(path, columns, path_separator, label_separator, encoding)
    _check_known(found, known)
    return found.texts, found.label_sets


def _print_report(
    classifier: HiMatchClassifier, name: str, texts: list[str], label_sets: list[frozenset[str]]
) -> None:
    from skhimatch.labels.targets import encode_targets
    from skhimatch.report import Report, compare

    hierarchy = classifier.hierarchy_
    report = Report.of(encode_targets(label_sets, hierarchy), classifier.predict(texts), hierarchy)
    print(compare({name: report}))


def _read_with_hierarchy(
    hierarchy: LabelHierarchy,
    columns: Columns,
    path_separator: str | None,
    label_separator: str | None,
    encoding: str | None,
    path: Path,
) -> tuple[list[str], list[frozenset[str]]]:
    """Read texts with labels of a known hierarchy."""
    from skhimatch.text.files import read_texts

    if path_separator is not None or len(columns.labels) > 1:
        raise ValueError(
            "--path-separator and several columns of --label-column are for labels that are paths, and the "
            "hierarchy has other labels: leave them out, or --hierarchy"
        )
    texts, label_sets = read_texts(
        path, hierarchy, columns, "|" if label_separator is None else label_separator, encoding
    )
    if label_sets is None:
        raise ValueError(f"{path} has no labels: add them as 'labels' to its lines or as a column")
    return texts, label_sets


def _read_with_paths(
    path: Path,
    columns: Columns,
    path_separator: str | None,
    label_separator: str | None,
    encoding: str | None,
) -> TextsWithPaths:
    """Read texts whose labels make the hierarchy, and say how they were read."""
    from skhimatch.text.path_files import read_texts_with_paths

    found = read_texts_with_paths(path, columns, path_separator, label_separator, encoding)
    separators = [
        f"{separator!r} separates {what}"
        for separator, what in (
            (found.path_separator, "the parts of a path"),
            (found.label_separator, "the labels of a text"),
        )
        if separator
    ]
    if found.path_separator:
        print(f"{path.name}: {', and '.join(separators)}")
    for places, what in (
        (found.without_text, "without a text are left out"),
        (found.without_label, "without a category are left out"),
        (found.unlabelled, "have no label, and count as texts to which no label applies"),
    ):
        if places:
            print(f"{path.name}: {_counted(places)} {what}")
    return found


def _counted(places: Sequence[str]) -> str:
    """Name the number of rows and the first places, such as "3 rows (line 2, line 5, line 9 of a.csv)"."""
    shown = ", ".join(place.partition(" of ")[0] for place in places[:SHOWN_PLACES])
    rest = len(places) - SHOWN_PLACES
    more = f" and {rest:,} more" if rest > 0 else ""
    return f"{len(places):,} row{'s' * (len(places) > 1)} ({shown}{more})"


def _check_known(found: TextsWithPaths, hierarchy: LabelHierarchy) -> None:
    from skhimatch.labels.spelling import unknown_label

    for place, labels in zip(found.places, found.label_sets, strict=True):
        for label in sorted(labels):
            if label not in hierarchy:
                otherwise = "correct it, or add training texts that have it"
                raise ValueError(unknown_label(label, place, hierarchy.labels, otherwise))


def _in_one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split())
