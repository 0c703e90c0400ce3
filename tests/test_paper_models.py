"""The comparison models of the paper are settings of the one network, and its tables show both figures."""

import json
from collections import Counter

import numpy as np
import pytest
from sklearn.model_selection import ParameterGrid
from toy_corpus import HIERARCHY, SMALL_WITHOUT_NODES, make_corpus

from benchmarks import figures, margins, paper, tables
from benchmarks.configs import read_configs
from skhimatch import HiMatchClassifier, PretrainedEncoder, paper_settings
from skhimatch.datasets import Corpus
from skhimatch.labels.formats import as_hierarchy
from skhimatch.network.encoders import CNNEncoder, GRUEncoder, RCNNEncoder
from skhimatch.network.heads import FlatHead, LabelwiseHead
from skhimatch.network.label_attention import LabelAttention, LabelProjection
from skhimatch.network.label_text_network import LabelTextNetwork
from skhimatch.network.pooling import AttentionPooling, MaxPooling
from skhimatch.network.propagation import HierarchyGCN
from skhimatch.network.transformer import TransformerEncoder

MODELS = read_configs()


def fitted(name, bert):
    settings = dict(MODELS[f"paper-{name}"].settings)
    sizes = SMALL_WITHOUT_NODES
    if isinstance(settings["encoder"], dict):
        settings["encoder"] = PretrainedEncoder(**settings["encoder"] | {"name": bert, "freeze": None})
        sizes = {"module__joint_dimension": 8}
    settings["net_params"] = {
        key: value for key, value in settings["net_params"].items() if key != "module__node_dimension"
    } | sizes
    settings |= {"max_epochs": 1, "random_state": 0}
    return HiMatchClassifier(HIERARCHY, **settings).fit(*make_corpus(20))


@pytest.mark.parametrize(
    ("name", "encoder", "pooling", "nodes", "head", "propagated", "loss"),
    [
        ("textcnn", CNNEncoder, MaxPooling, None, FlatHead, False, False),
        ("textrnn", GRUEncoder, MaxPooling, None, FlatHead, False, False),
        ("textrcnn", RCNNEncoder, MaxPooling, None, FlatHead, False, False),
        ("textrcnn-la", RCNNEncoder, None, LabelAttention, FlatHead, False, False),
        ("hiagm-tp", RCNNEncoder, MaxPooling, LabelProjection, FlatHead, True, False),
        ("himatch", RCNNEncoder, MaxPooling, LabelProjection, FlatHead, True, True),
        ("bert", TransformerEncoder, None, None, FlatHead, False, False),
        ("bert-himatch", TransformerEncoder, None, LabelProjection, FlatHead, True, True),
        ("bigru-att", GRUEncoder, AttentionPooling, None, FlatHead, False, False),
        ("bigru-lwan", GRUEncoder, None, LabelAttention, LabelwiseHead, False, False),
    ],
)
def test_networks(name, encoder, pooling, nodes, head, propagated, loss, tiny_bert):
    classifier = fitted(name, tiny_bert)
    network = classifier.network_
    if pooling is None:
        assert type(network.text_encoder) is encoder
    else:
        assert type(network.text_encoder.states) is encoder
        assert type(network.text_encoder.pooling) is pooling
    assert type(network.label_nodes) is (type(None) if nodes is None else nodes)
    assert type(network.head) is head
    assert type(network.propagation) is (HierarchyGCN if propagated else type(None))
    assert (classifier.history_[0]["matching_loss"] > 0) == loss
    assert (classifier.history_[0]["joint_loss"] > 0) == loss
    assert classifier.ngrams_ is None


@pytest.mark.parametrize(
    ("name", "encoder", "loss"),
    [
        ("zero-cnn-lwan", CNNEncoder, False),
        ("zero-bigru-lwan", GRUEncoder, False),
        ("himatch-eurlex57k", GRUEncoder, True),
    ],
)
def test_networks_that_score_labels_by_their_texts(name, encoder, loss, tiny_bert):
    classifier = fitted(name, tiny_bert)
    assert type(classifier.network_) is LabelTextNetwork
    assert type(classifier.network_.text_encoder) is encoder
    assert (classifier.history_[0]["matching_loss"] > 0) == loss


def test_models_differ_by_what_is_compared():
    himatch = MODELS["paper-himatch"].settings
    assert himatch == paper_settings("wos", schedule="fast")
    for name, changes in {
        "hiagm-tp": {"lambda_joint": 0, "lambda_match": 0},
        "himatch-no-joint": {"lambda_joint": 0},
        "himatch-no-matching": {"lambda_match": 0},
        "himatch-random-sampling": {"sampling": "random"},
    }.items():
        assert MODELS[f"paper-{name}"].settings == himatch | changes
    for name in ("textcnn", "textrnn", "textrcnn", "textrcnn-la"):
        changed = {
            key for key, value in MODELS[f"paper-{name}"].settings.items() if himatch.get(key) != value
        }
        assert changed <= {"encoder", "propagation", "lambda_joint", "lambda_match", "net_params"}


def result(dataset, model, scores, **others):
    runs = [
        {"seed": seed, "test": {"micro_f1": micro, "macro_f1": macro, "levels": []}, **others}
        for seed, (micro, macro) in enumerate(scores)
    ]
    return {"dataset": dataset, "model": model, "seeds": list(range(len(runs))), "runs": runs}


def row_of(table, beginning):
    return next(line for line in table.splitlines() if line.startswith(f"| {beginning} |"))


class TestTables:
    def test_measured_beside_published(self):
        results = [
            result("wos", "paper-himatch", [(0.7, 0.6), (0.8, 0.5)]),
            result("wos", "paper-textcnn", [(0.5, 0.4)]),
        ]
        table = paper.paper_tables(results)["3"]
        assert row_of(table, "HiMatch") == (
            "| HiMatch | 0.750 ± 0.050 / 0.550 ± 0.050 | 2 | 0.862 / 0.805 | Chen et al. (2021) |"
        )
        assert row_of(table, "TextCNN").startswith("| TextCNN | 0.500 / 0.400 | 1 | 0.820 / 0.762 |")
        assert row_of(table, "TextRNN").startswith("| TextRNN |  |  | 0.779 / 0.697 |")

    def test_models_that_are_only_cited(self):
        table = paper.paper_tables([])["2"]
        assert row_of(table, "SGM") == "| SGM |  |  | 0.773 / 0.475 | Zhou et al. (2020) |"
        assert len(table.splitlines()) == 2 + 11

    def test_rows_of_other_code_are_left_out(self):
        results = [
            result("wos", "paper-himatch", [(0.7, 0.6)], code="new"),
            result("wos", "paper-textcnn", [(0.5, 0.4)], code="old"),
            result("wos", "paper-textrnn", [(0.3, 0.2)], code="new"),
        ]
        table = paper.paper_tables(results)["3"]
        assert row_of(table, "TextCNN").startswith("| TextCNN |  |  |")
        assert row_of(table, "TextRNN").startswith("| TextRNN | 0.300 / 0.200 | 1 |")
        table = paper.paper_tables([*results[1:], result("wos", "paper-bert", [(0.2, 0.1)], code="new")])["3"]
        assert row_of(table, "TextCNN").startswith("| TextCNN |  |  |")
        assert row_of(table, "BERT").startswith("| BERT | 0.200 / 0.100 | 1 |")

    def test_ablations(self):
        results = [result("aapd", "paper-himatch-no-joint", [(0.7, 0.6)])]
        table = paper.paper_tables(results)["5"]
        assert "| 0.700 / 0.600 | 1 | 0.845 / 0.626 |" in row_of(
            table, "HiMatch without joint embedding loss"
        )

    def test_rankings(self):
        scores = {group: {"recall_at_5": 0.5, "ndcg_at_5": 0.25} for group in paper.GROUPS}
        results = [{"dataset": "eurlex57k", "model": "paper-himatch-eurlex57k", "runs": [{"test": scores}]}]
        table = paper.paper_tables(results)["4"]
        assert "| 0.500 / 0.250 |" in row_of(table, "HiMatch (Chen et al. (2021))")
        assert "| 0.399 / 0.372 |" in row_of(table, "HiMatch (Chen et al. (2021))")
        assert "0.500" not in row_of(table, "AGRU-KAMG (Lu et al. (2020))")

    def test_margins(self, monkeypatch, tmp_path):
        monkeypatch.setattr(paper, "FOLDER", tmp_path)
        (tmp_path / "results").mkdir()
        rows = [{"micro_f1": 0.1 * number, "macro_f1": 0.05} for number in range(7)]
        content = {"dataset": "toy", "seeds": [0], "runs": [{"seed": 0, "rows": rows}]}
        (tmp_path / "results" / "toy-margins.json").write_text(json.dumps(content))
        table = paper.margins_table(json.loads(paper.PUBLISHED.read_text())["table 6"])
        lines = table.splitlines()
        assert lines[0] == "| gamma | alpha | beta | toy, 1 seeds | published, RCV1-V2 |"
        assert lines[4] == "| 2 | 0.01 | 0.5 | 0.200 / 0.050 | 0.847 / 0.635 |"

    def test_joint_space_and_levels(self):
        space = {
            "nearest_leaf": {"micro_f1": 0.8, "macro_f1": 0.7},
            "distances": {"fine": 0.1, "ancestors": 0.2, "siblings": 0.3, "others": 0.4},
            "in_order": 0.53,
        }
        with_space = result("wos", "paper-himatch", [(0.7, 0.6)], joint_space=space)
        levels = [
            {"level": 1, "micro_f1": 0.9, "macro_f1": 0.8},
            {"level": 2, "micro_f1": 0.6, "macro_f1": 0.5},
        ]
        with_space["runs"][0]["test"]["levels"] = levels
        found = paper.paper_tables([with_space])
        assert found["figure4"].splitlines()[2] == (
            "| wos | HiMatch | 0.800 / 0.700 | 0.10 | 0.20 | 0.30 | 0.40 | 53% | 1 |"
        )
        assert found["figure5"].splitlines()[2] == "| wos | HiMatch | 0.900 / 0.800 | 0.600 / 0.500 |"

    def test_complexity(self, monkeypatch, tmp_path):
        content = {
            "HiAGM-TP": {"parameters": 20_000_000, "step_seconds": 0.2, "predict_seconds": 0.1},
            "HiMatch": {"parameters": 30_000_000, "step_seconds": 0.25, "predict_seconds": 0.1},
        }
        (tmp_path / "complexity.json").write_text(json.dumps(content))
        monkeypatch.setattr(paper, "COMPLEXITY", tmp_path / "complexity.json")
        lines = paper.paper_tables([])["complexity"].splitlines()
        assert lines[2] == "| weights | 20.0 M | 30.0 M | 1.50 | 1.35 |"
        assert lines[3] == "| training step, batch 64 | 200 ms | 250 ms | 1.25 | 1.11 |"

    @pytest.mark.parametrize("name", ["2", "3", "4", "5", "6", "figure4", "figure5", "complexity"])
    def test_one_is_printed(self, name, monkeypatch, capsys):
        monkeypatch.setattr("sys.argv", ["tables", "--table", name])
        assert tables.main() == 0
        assert capsys.readouterr().out.startswith(("|", paper.NOT_MEASURED))


def test_the_grid_is_that_of_table_6():
    rows = list(ParameterGrid(margins.grid()))
    assert len(rows) == 7
    assert rows[0] == {"gamma": 0.2, "alpha": 0.01, "beta": 0.5}
    assert rows[4] == {"gamma": 0.2, "alpha": 1, "beta": 1}
    assert np.ptp([row["gamma"] for row in rows]) == pytest.approx(1.98)


class TestFigures:
    TREE = as_hierarchy(HIERARCHY)
    CORPUS = Corpus("toy", *make_corpus(60), TREE, {"test": np.arange(40)})

    def test_the_branch_with_the_most_texts(self):
        shown = figures.branch(self.CORPUS)
        counts = Counter(label for labels in self.CORPUS.part("test")[1] for label in labels)
        assert shown[0] in HIERARCHY
        assert counts[shown[0]] == max(counts[root] for root in HIERARCHY)
        assert set(shown[1:]) == set(HIERARCHY[shown[0]])
        numbers = [counts[label] for label in shown[1:]]
        assert numbers == sorted(numbers, reverse=True)

    def test_both_spaces_are_drawn(self):
        pytest.importorskip("matplotlib")
        space = {"text_points": [[0, 1], [1, 0]], "label_points": [[0, 0]], "groups": ["a", "a"]}
        figure = figures.draw_joint_spaces({"labels": ["a"], "spaces": {"with": space, "without": space}})
        assert [ax.get_title() for ax in figure.axes] == ["with", "without"]

    def test_levels_need_all_models(self, monkeypatch):
        levels = [{"level": 1, "labels": 2, "support": 9, "micro_f1": 0.5, "macro_f1": 0.25}]
        found = [result("wos", f"paper-{name}", [(0.5, 0.5), (0.7, 0.5)]) for name in paper.BY_LEVEL]
        for content in found:
            for run in content["runs"]:
                run["test"]["levels"] = levels
        monkeypatch.setattr(figures, "read_results", lambda: found)
        texts = {text.get_text() for text in figures.draw_levels("wos").axes[0].get_legend().get_texts()}
        assert {"HiMatch micro", "TextRCNN macro"} <= texts
        monkeypatch.setattr(figures, "read_results", lambda: found[1:])
        assert figures.draw_levels("wos") is None
