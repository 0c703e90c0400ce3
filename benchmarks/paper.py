"""The tables and figures of the paper, measured here, beside the published figures.

    python -m benchmarks.tables --table 3

prints one of them. The models are those of `benchmarks.configs`, and their results are files of
`benchmarks.accuracy`. Published figures are in ``published_tables.json``. They are of other corpora, or of
other parts of the same corpus, so that only the order of the models can be compared.
"""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, pstdev
from typing import Any

from benchmarks.configs import PREFIX, PaperModel, read_configs

FOLDER = Path(__file__).parent
PUBLISHED = FOLDER / "published_tables.json"
COMPLEXITY = FOLDER / "results" / "complexity.json"
NOT_MEASURED = "not measured yet"
# Where the tables on RCV1-V2 are repeated: its texts have several paths, like the abstracts of AAPD.
SEVERAL_PATHS, ONE_PATH, LEAVES_ONLY = "aapd", "wos", "eurlex57k"
ABLATIONS = (
    "textrcnn",
    "himatch",
    "himatch-no-joint",
    "himatch-no-matching",
    "himatch-random-sampling",
)
BY_LEVEL = "textrcnn", "hiagm-tp", "himatch"
IN_THE_JOINT_SPACE = "himatch", "himatch-no-matching"
GROUPS = ("frequent", "few", "zero", "overall")
SCORES = ("micro_f1", "macro_f1")
Results = Sequence[dict[str, Any]]


def paper_tables(results: Results) -> dict[str, str]:
    """Return all tables and figures of the paper by name, each as a table of Markdown.

    Parameters
    ----------
    results : sequence of dict
        The files of `benchmarks.accuracy`.

    Returns
    -------
    dict of str to str
        By "2" to "6", "figure4", "figure5" and "complexity".
    """
    published = json.loads(PUBLISHED.read_text())
    models = read_configs()
    by_title = {model.title: model for model in models.values() if model.name != PREFIX + "himatch-eurlex57k"}
    return {
        "2": f1_table(results, [SEVERAL_PATHS], by_title, published["table 2"]),
        "3": f1_table(results, [ONE_PATH], by_title, published["table 3"]),
        "4": ranking_table(results, models, published["table 4"]),
        "5": f1_table(results, [ONE_PATH, SEVERAL_PATHS], by_title, published["table 5"]),
        "6": margins_table(published["table 6"]),
        "figure4": joint_space_table(results, models),
        "figure5": level_table(results, models),
        "complexity": complexity_table(published["complexity"]),
    }


def f1_table(
    results: Results, corpora: Sequence[str], models: dict[str, PaperModel], published: dict[str, Any]
) -> str:
    """Render micro- and macro-F1 of the models of a table, measured and published.

    Parameters
    ----------
    results : sequence of dict
        The files of `benchmarks.accuracy`.
    corpora : sequence of str
        Where the models were measured.
    models : dict of str to PaperModel
        By title.
    published : dict
        The rows of the table, and their corpus.

    Returns
    -------
    str
        A row for each published one. Models that are only cited have no figures of ours.
    """
    head = ["model", *corpora, "seeds", f"published, {published['corpus']}", "source"]
    rows = []
    known = {corpus: _of_one_code(results, corpus) for corpus in corpora}
    for row in published["rows"]:
        model = models.get(row["model"])
        found = [None if model is None else known[corpus].get(model.name) for corpus in corpora]
        seeds = [str(len(content["seeds"])) for content in found if content is not None]
        cells = ["" if content is None else _micro_and_macro(content) for content in found]
        theirs = f"{row['micro_f1']:.3f} / {row['macro_f1']:.3f}"
        rows.append([row["model"], *cells, " / ".join(dict.fromkeys(seeds)), theirs, row["source"]])
    return _table(head, rows)


def ranking_table(results: Results, models: dict[str, PaperModel], published: dict[str, Any]) -> str:
    """Render R@5 / nDCG@5 on EURLEX57K by the frequency of labels, measured and published."""
    titles = {model.title: model for model in models.values() if _is_of_eurlex(model)}
    head = ["model", *(f"{group}: here" for group in GROUPS), *(f"{group}: published" for group in GROUPS)]
    rows = []
    for row in published["rows"]:
        model = titles.get(row["model"])
        content = None if model is None else _result(results, LEAVES_ONLY, model.name)
        ours = ["" if content is None else _ranking(content, group) for group in GROUPS]
        theirs = [f"{row[group]['recall_at_5']:.3f} / {row[group]['ndcg_at_5']:.3f}" for group in GROUPS]
        rows.append([f"{row['model']} ({row['source']})", *ours, *theirs])
    return _table(head, rows)


def margins_table(published: dict[str, Any]) -> str:
    """Render the grid search over gamma, alpha and beta, measured and published."""
    paths = sorted((FOLDER / "results").glob("*-margins.json"))
    found = [json.loads(path.read_text()) for path in paths]
    head = ["gamma", "alpha", "beta"]
    head += [f"{content['dataset']}, {len(content['seeds'])} seeds" for content in found]
    head.append(f"published, {published['corpus']}")
    rows = []
    for number, row in enumerate(published["rows"]):
        cells = [f"{row[name]:g}" for name in ("gamma", "alpha", "beta")]
        for content in found:
            scores = [run["rows"][number] for run in content["runs"]]
            cells.append(" / ".join(_with_spread([score[name] for score in scores]) for name in SCORES))
        rows.append([*cells, f"{row['micro_f1']:.3f} / {row['macro_f1']:.3f}"])
    return _table(head, rows)


def joint_space_table(results: Results, models: dict[str, PaperModel]) -> str:
    """Render the mean distances in the joint space, with and without the matching loss."""
    head = ["corpus", "model", "nearest leaf", "fine", "ancestors", "siblings", "others", "in order", "seeds"]
    rows = []
    for corpus in (ONE_PATH, SEVERAL_PATHS):
        for name in IN_THE_JOINT_SPACE:
            content = _result(results, corpus, PREFIX + name)
            spaces = [] if content is None else [run.get("joint_space") for run in content["runs"]]
            if not spaces or None in spaces:
                continue
            nearest = [mean(space["nearest_leaf"][score] for space in spaces) for score in SCORES]
            kinds = list(spaces[0]["distances"])
            distances = [mean(space["distances"][kind] for space in spaces) for kind in kinds]
            rows.append(
                [
                    corpus,
                    models[PREFIX + name].title,
                    f"{nearest[0]:.3f} / {nearest[1]:.3f}",
                    *(f"{distance:.2f}" for distance in distances),
                    f"{100 * mean(space['in_order'] for space in spaces):.0f}%",
                    str(len(spaces)),
                ]
            )
    return _table(head, rows) if rows else NOT_MEASURED


def level_table(results: Results, models: dict[str, PaperModel]) -> str:
    """Render micro- and macro-F1 on each level of the hierarchy."""
    rows, depth = [], 0
    for corpus in (ONE_PATH, SEVERAL_PATHS):
        for name in BY_LEVEL:
            content = _result(results, corpus, PREFIX + name)
            if content is None:
                continue
            levels = list(zip(*(run["test"]["levels"] for run in content["runs"]), strict=True))
            cells = [
                " / ".join(_with_spread([run[score] for run in level]) for score in SCORES)
                for level in levels
            ]
            depth = max(depth, len(cells))
            rows.append([corpus, models[PREFIX + name].title, *cells])
    head = ["corpus", "model", *(f"level {level}" for level in range(1, depth + 1))]
    return _table(head, [row + [""] * (len(head) - len(row)) for row in rows]) if rows else NOT_MEASURED


def complexity_table(published: dict[str, Any]) -> str:
    """Render weights and times of HiMatch and HiAGM-TP, as section 4.3.5 compares them."""
    if not COMPLEXITY.exists():
        return NOT_MEASURED
    content = json.loads(COMPLEXITY.read_text())
    head = ["", "HiAGM-TP", "HiMatch", "ratio", "published ratio"]
    weights = [content[name]["parameters"] for name in ("HiAGM-TP", "HiMatch")]
    theirs = published["HiMatch"]["parameters"] / published["HiAGM-TP"]["parameters"]
    rows = [["weights", *(f"{number / 1e6:.1f} M" for number in weights), f"{weights[1] / weights[0]:.2f}"]]
    rows[0].append(f"{theirs:.2f}")
    for what, key, ratio in (
        ("training step, batch 64", "step_seconds", f"{published['HiMatch']['training_time']:.2f}"),
        ("prediction of the same texts", "predict_seconds", "1"),
    ):
        seconds = [content[name][key] for name in ("HiAGM-TP", "HiMatch")]
        rows.append(
            [
                what,
                *(f"{1000 * second:.0f} ms" for second in seconds),
                f"{seconds[1] / seconds[0]:.2f}",
                ratio,
            ]
        )
    return _table(head, rows)


def _is_of_eurlex(model: PaperModel) -> bool:
    # Its experiment has the margin .5, the others .2.
    return model.settings["gamma"] == 0.5


def _of_one_code(results: Results, corpus: str) -> dict[str, dict[str, Any]]:
    """Return the results of the paper's models on a corpus by name: those that ran the same code as HiMatch.

    Without a result of HiMatch, the code that most of them ran.
    """
    found = [
        content for content in results if content["dataset"] == corpus and content["model"].startswith(PREFIX)
    ]
    codes = {content["model"]: {run.get("code") for run in content["runs"]} for content in found}
    if not codes:
        return {}
    most = Counter(frozenset(code) for code in codes.values()).most_common(1)[0][0]
    code = codes.get(f"{PREFIX}himatch", most)
    return {content["model"]: content for content in found if codes[content["model"]] == code}


def _result(results: Results, corpus: str, model: str) -> dict[str, Any] | None:
    return next(
        (content for content in results if (content["dataset"], content["model"]) == (corpus, model)), None
    )


def _micro_and_macro(content: dict[str, Any]) -> str:
    return " / ".join(_with_spread([run["test"][name] for run in content["runs"]]) for name in SCORES)


def _ranking(content: dict[str, Any], group: str) -> str:
    names = ("recall_at_5", "ndcg_at_5")
    return " / ".join(_with_spread([run["test"][group][name] for run in content["runs"]]) for name in names)


def _with_spread(values: Sequence[float]) -> str:
    return f"{mean(values):.3f} ± {pstdev(values):.3f}" if len(values) > 1 else f"{values[0]:.3f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
