import numpy as np
import pytest
from scipy import sparse

from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.report import Report, compare, top_down

HIERARCHY = LabelHierarchy([("a", "b"), ("b", "c")], labels=["c", "b", "a"])


def test_report_gathers_the_metrics():
    report = Report.of([[1, 1, 1], [0, 0, 1]], [[1, 0, 1], [0, 0, 1]], HIERARCHY)
    assert report.micro_f1 == pytest.approx(6 / 7)
    assert report.macro_f1 == pytest.approx(2 / 3)
    assert report.hierarchical == (1, 1, 1)
    assert report.violations == 0.5
    assert [level.micro_f1 for level in report.levels] == [1, 0, 1]


def test_compare_aligns_the_models_within_100_columns():
    report = Report.of(np.eye(3, dtype=int), np.eye(3, dtype=int), HIERARCHY)
    lines = compare({"mine": report, "TF-IDF + SVM": report}, {"mine": 94.6, "TF-IDF + SVM": 8}).splitlines()
    table = lines[: lines.index("")]
    assert table[0].split() == ["mine", "TF-IDF", "+", "SVM"]
    assert table[-1].split() == ["seconds", "to", "fit", "95", "8"]
    assert len({len(line) for line in table}) == 1
    assert max(map(len, lines)) <= 100
    assert sum("level" in line and "label" in line for line in lines) == 3


def test_top_down_orders_labels_by_level():
    probabilities = np.array([[0.7, 0.8, 0.9], [0.1, 0.2, 0.3]])
    spelled = top_down(sparse.csr_array([[1, 1, 1], [0, 0, 0]]), probabilities, HIERARCHY)
    assert spelled == [{"a": 0.9, "b": 0.8, "c": 0.7}, {}]
    assert list(spelled[0]) == ["a", "b", "c"]
