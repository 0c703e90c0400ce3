"""What users may rely on, tried on many cases: ``python -m benchmarks.trust`` writes docs/trust.md."""

import sys
from pathlib import Path

# The toy corpus, and the edits of saved classifiers, are those of the tests.
sys.path.append(str(Path(__file__).parents[2] / "tests"))
