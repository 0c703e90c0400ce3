"""Try the promises of docs/trust.md on many cases, and write the page.

    python -m benchmarks.trust
    python -m benchmarks.trust --promise "kills in fit" --cases 1000

Each result is written to benchmarks/results/trust.json as soon as it is there. What was tried with this
code, on at least as many cases, is not tried again. With ``--check`` nothing is tried or written: the exit
status is 1 if the page is out of date.
"""

import argparse
import json
import os
import time
from dataclasses import asdict

# Before torch is imported. A process with several threads cannot be forked.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"

import torch

from benchmarks.records import code_digest, commit, versions
from benchmarks.trust.page import PAGE, RESULTS_FILE, read, render
from benchmarks.trust.promise import Promise
from benchmarks.trust.promises import PROMISES


def attempt(promise: Promise, cases: int) -> None:
    """Try a promise, and write what came out."""
    started = time.perf_counter()
    outcome = promise.attempt(cases)
    seconds = round(time.perf_counter() - started)
    # Some promises count more than they are asked for: each test, or each load.
    result = asdict(outcome) | {
        "asked": cases,
        "seconds": seconds,
        "code": code_digest(),
        "commit": commit(),
        "versions": versions(),
    }
    results = read() | {promise.name: result}
    fresh = RESULTS_FILE.with_suffix(".fresh")
    fresh.write_text(json.dumps({name: results[name] for name in sorted(results)}, indent=1) + "\n")
    fresh.replace(RESULTS_FILE)
    PAGE.write_text(render(PROMISES, results))
    print(
        f"{promise.name}: {outcome.cases:,} cases, {len(outcome.failures)} failures, {seconds} s", flush=True
    )
    for failure in outcome.failures[:3]:
        print(failure, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [promise.name for promise in PROMISES]
    parser.add_argument("--promise", nargs="+", choices=names, default=names, help="which ones")
    parser.add_argument("--cases", type=int, help="how many cases of each (default: as many as each needs)")
    parser.add_argument("--check", action="store_true", help="only compare, write nothing")
    arguments = parser.parse_args()
    if arguments.check:
        up_to_date = PAGE.read_text() == render(PROMISES, read())
        print(*([] if up_to_date else [f"{PAGE} is out of date: run python -m benchmarks.trust"]))
        return int(not up_to_date)
    torch.set_num_threads(1)
    failures = 0
    for promise in PROMISES:
        if promise.name not in arguments.promise:
            continue
        cases, before = arguments.cases or promise.cases, read().get(promise.name)
        known = before is not None and before["code"] == code_digest() and before["asked"] >= cases
        if not known or before["failures"]:
            attempt(promise, cases)
        failures += len(read()[promise.name]["failures"])
    PAGE.write_text(render(PROMISES, read()))
    return int(failures > 0)


if __name__ == "__main__":
    raise SystemExit(main())
