"""Tables of speed and memory, from the results files of the benchmarks that measure them."""

import json
from typing import Any

from benchmarks.records import RESULTS, read

SPEED = RESULTS / "speed.json"
SERVING = RESULTS / "serving.json"
PEERS = "peers-*.json"
LARGE = RESULTS / "large.json"
WORKERS = RESULTS / "workers.json"
FITS = RESULTS / "fits.json"
STREAM = RESULTS / "stream.json"
ONE_TEXT = RESULTS / "one_text.json"
NOT_MEASURED = "not measured yet"


def speed_parts() -> dict[str, str]:
    """Return the generated parts of pages, by their names."""
    speed = read(SPEED)
    return {
        "speed": speed_table(speed),
        "growth": growth_table(speed),
        "serving": serving_table(read(SERVING)),
        "peers": peers_table(read_peers()),
        "fits": fits_table(read(FITS)),
        "many texts": large_table(read(LARGE)),
        "stream": stream_table(read(STREAM)),
        "one text": one_text_table(read(ONE_TEXT)),
        "workers": workers_table(read(WORKERS)),
    }


def speed_table(content: dict[str, Any] | None) -> str:
    """Render speed and memory on one corpus, and ratios of speeds."""
    if content is None:
        return NOT_MEASURED
    parts = ", ".join(
        f"{part.replace('_', ' ')} {share:.0%}"
        for part, share in sorted(content["parts"].items(), key=lambda item: -item[1])
    )
    ratios = {
        "training step, against the paper's reading": content["train_step_ratio_vs_reference"],
        "`predict`, against the paper's reading": content["predict_ratio_vs_reference"],
        "`predict`, against TF-IDF + SVM": content["predict_ratio_vs_linear"],
    }
    rows = {name: f"{ratio:.2f} × as fast" for name, ratio in ratios.items()} | {
        "training step with matching, against without": f"{content['matching_overhead']:.2f} × as long",
        "grid search by two processes, against one": (
            f"{content['grid_search_ratio_of_two_jobs']:.2f} × as fast"
        ),
        "`fit`, one epoch and all around it": f"{content['fit_texts_per_second']:.0f} texts/s",
        "the epoch alone": f"{content['epoch_texts_per_second']:.0f} texts/s",
        "`predict`, many texts": f"{content['predict_texts_per_second']:.0f} texts/s",
        "`predict`, one text": (
            f"{content['latency_ms_p50']:.1f} ms (median), {content['latency_ms_p99']:.1f} ms (99 of 100)"
        ),
        "peak memory of `fit` and `predict`": f"{content['peak_rss_mb']:,} MB",
        "a training step goes to": parts,
    }
    lines = [f"| on {content['dataset']}, {_threads(content['threads'])} | |", "|---|---|"]
    return "\n".join([*lines, *(f"| {name} | {value} |" for name, value in rows.items())])


def fits_table(content: dict[str, Any] | None) -> str:
    """Render the time of whole fits."""
    if content is None:
        return NOT_MEASURED
    lines = [
        f"| on {content['dataset']} | threads | fit | epochs | micro-F1 | macro-F1 | peak memory |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in content["fits"]:
        f1 = row["validation"]
        lines.append(
            f"| {row['name']} | {row['threads']} | {row['fit_seconds']:.0f} s | {row['epochs']} "
            f"| {f1['micro_f1']:.3f} | {f1['macro_f1']:.3f} | {row['peak_rss_mb']:,} MB |"
        )
    return "\n".join(lines)


def stream_table(content: dict[str, Any] | None) -> str:
    """Render the peak memory of the command `predict` by the number of texts."""
    if content is None:
        return NOT_MEASURED
    lines = ["| texts | peak memory | time |", "|---|---|---|"]
    for row in content["streams"]:
        lines.append(f"| {row['texts']:,} | {row['peak_rss_mb']:,} MB | {row['seconds']:.0f} s |")
    return "\n".join(lines)


def one_text_table(content: dict[str, Any] | None) -> str:
    """Render the time of one text on a frozen encoder, against that of the encoder alone."""
    if content is None:
        return NOT_MEASURED
    lines = [
        f"| {_threads(content['threads'])} | words (median) | encoder alone | `predict` | ratio |",
        "|---|---|---|---|---|",
    ]
    for row in content["rows"]:
        ratio = row["predict_ms"] / row["encoder_ms"]
        lines.append(
            f"| {row['dataset']} | {row['words']:.0f} | {row['encoder_ms']:.1f} ms "
            f"| {row['predict_ms']:.1f} ms | {ratio:.2f} |"
        )
    return "\n".join(lines)


def growth_table(content: dict[str, Any] | None) -> str:
    """Render seconds and memory by the length of texts, the number of labels and the number of texts."""
    if content is None:
        return NOT_MEASURED
    lines = [
        "| how many | training step | `fit` | `predict` | peak memory | weights |",
        "|---|---|---|---|---|---|",
    ]
    for what, numbers in content["growth"].items():
        for number, taken in numbers.items():
            cells = [
                f"{taken[name]:.3g} s" if name in taken else ""
                for name in ("step_seconds", "fit_seconds", "predict_seconds")
            ]
            # Older files lack it.
            weights = f"{taken['parameters'] / 1e6:.1f} M" if "parameters" in taken else ""
            cells += [f"{taken['peak_rss_mb']:,} MB", weights]
            lines.append(f"| {int(number):,} {what} | {' | '.join(cells)} |")
    return "\n".join(lines)


def serving_table(content: dict[str, Any] | None) -> str:
    """Render times of requests and texts per second, by the number of clients and of texts of a request."""
    if content is None:
        return NOT_MEASURED
    lines = [
        f"| {content['dataset']}, {content['labels']} labels, {_threads(content['threads'])} "
        "| a request (median) | 99 of 100 | texts/s |",
        "|---|---|---|---|",
    ]
    for load in content["loads"]:
        clients, texts = (
            f"{load[name]} {name.removesuffix('s' * (load[name] == 1))}" for name in ("clients", "texts")
        )
        lines.append(
            f"| {clients}, {texts} a request | {load['latency_ms_p50']:.1f} ms "
            f"| {load['latency_ms_p99']:.1f} ms | {load['texts_per_second']:,.0f} |"
        )
    return "\n".join(lines)


def read_peers() -> list[dict[str, Any]]:
    """Return the results of `benchmarks.peers`, one for each corpus."""
    return [json.loads(path.read_text()) for path in sorted(RESULTS.glob(PEERS))]


def peers_table(contents: list[dict[str, Any]]) -> str:
    """Render accuracy, time, memory and size of what users take today and of the defaults."""
    if not contents:
        return NOT_MEASURED
    lines = [
        "| corpus | model | micro-F1 | macro-F1 | fit | predict | one text | memory | on disk | commit |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for content in contents:
        for name, found in content["peers"].items():
            lines.append(
                f"| {content['dataset']} | {name} | {found['micro_f1']:.3f} | {found['macro_f1']:.3f} "
                f"| {found['fit_seconds']:,.0f} s | {found['predict_texts_per_second']:,.0f} texts/s "
                f"| {found['one_text_ms']:.1f} ms | {found['peak_rss_mb']:,} MB | {found['size_mb']:,.0f} MB "
                f"| `{found['commit'][:7]}`{'*' * found['commit'].endswith('-dirty')} |"
            )
    return "\n".join(lines)


def large_table(content: dict[str, Any] | None) -> str:
    """Render time and memory of a fit on many made-up texts."""
    if content is None:
        return NOT_MEASURED
    minutes, gigabytes = content["fit_seconds"] / 60, content["peak_rss_mb"] / 1024
    return "\n".join(
        [
            "| texts | labels | fit | peak memory | epochs | predict | threads | commit |",
            "|---|---|---|---|---|---|---|---|",
            f"| {content['texts']:,} | {content['labels']:,} | {minutes:.0f} min | {gigabytes:.1f} GB "
            f"| {content['epochs']} | {content['predict_texts_per_second']:,.0f} texts/s "
            f"| {content['threads']} | `{content['commit'][:7]}` |",
        ]
    )


def workers_table(content: dict[str, Any] | None) -> str:
    """Render the median seconds of one worker and of two, by what they do."""
    if content is None:
        return NOT_MEASURED
    units = {
        "search": "fits",
        "prediction": "texts",
        "training, words": "texts",
        "training, words, batches of 256": "texts",
        "training, MiniLM": "texts",
    }
    lines = [
        f"| {content['dataset']}, {content['labels']} labels, {content['cores']} cores "
        "| 1 worker | 2 workers |",
        "|---|---|---|",
    ]
    for work, unit in units.items():
        rows = {row["workers"]: row for row in content["workers"] if row["work"] == work}
        if not rows:
            continue
        seconds = " | ".join(f"{rows[number]['median_seconds']:.1f} s" for number in (1, 2))
        lines.append(f"| {work}, {rows[1]['size']:,} {unit} | {seconds} |")
    return "\n".join(lines)


def _threads(number: int) -> str:
    return f"{number} thread{'' if number == 1 else 's'}"
