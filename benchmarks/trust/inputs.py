"""Random texts, hierarchies, targets and parameters: the property tests, with many cases."""

import os
import re
import subprocess
import sys

from benchmarks.tables import ROOT
from benchmarks.trust.promise import Outcome, Promise

TESTS = "tests/test_properties.py"


def random_inputs(cases: int) -> Outcome:
    """Run the property tests; those that fit classifiers have a tenth of the cases."""
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--hypothesis-show-statistics", TESTS],
        cwd=ROOT,
        env=os.environ | {"SKHIMATCH_CASES": str(cases), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    tried = passing(run.stdout)
    failures = re.findall(r"^FAILED .*", run.stdout, re.MULTILINE)
    if not failures and (run.returncode or tried < cases):
        failures = [(run.stdout + run.stderr)[-3000:]]
    return Outcome(tried, failures)


def passing(statistics: str) -> int:
    """Return the number of cases that hypothesis counts."""
    return sum(int(number) for number in re.findall(r"- (\d+) passing", statistics))


PROMISES = [
    Promise(
        "random inputs",
        "Random texts in all scripts, hierarchies, targets and parameters are read rightly. Fits with them "
        "predict probabilities that keep to the hierarchy, also after `save` and `load`.",
        (TESTS,),
        10_000,
        5,
        random_inputs,
    )
]
