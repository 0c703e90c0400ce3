import pytest
from toy_corpus import HIERARCHY, SMALL_RCNN, make_corpus

from skhimatch import HiMatchClassifier, paper_settings
from skhimatch.network.heads import FlatHead
from skhimatch.network.label_text_network import LabelTextNetwork
from skhimatch.network.propagation import HierarchyGCN


@pytest.mark.parametrize("corpus", ["rcv1", "wos"])
def test_as_in_section_4_1(corpus):
    settings = paper_settings(corpus)
    margins = settings["gamma"], settings["alpha"], settings["beta"]
    assert margins == (0.2, 0.01, 0.5)
    assert (settings["learning_rate"], settings["batch_size"], settings["threshold"]) == (1e-4, 64, 0.5)
    assert (settings["lambda_joint"], settings["lambda_match"]) == (1, 1)
    # The paper averages over labels, and has no schedule.
    assert settings["classification_loss"] == "mean_cross_entropy"
    assert settings["schedule"] == "constant"


def test_they_build_a_classifier():
    settings = paper_settings("wos")
    settings |= {"max_epochs": 1, "net_params": settings["net_params"] | SMALL_RCNN, "random_state": 0}
    classifier = HiMatchClassifier(HIERARCHY, **settings).fit(*make_corpus(20))
    assert type(classifier.network_.head) is FlatHead
    assert type(classifier.network_.propagation) is HierarchyGCN
    assert classifier.decision_.ends is None
    # A cross-entropy that is averaged over labels stays below one from the start.
    assert classifier.history_[0]["classification_loss"] < 1


def test_the_widths_are_those_of_the_paper():
    texts, label_sets = make_corpus(6)
    network = (
        HiMatchClassifier(HIERARCHY, **paper_settings("rcv1") | {"max_epochs": 1})
        .fit(texts, label_sets)
        .network_
    )
    assert network.text_encoder.embedding.embedding_dim == 300
    encoder = network.text_encoder.states
    assert encoder.gru.forward_gru.hidden_size == 100
    assert [tuple(layer.weight.shape) for layer in encoder.convolutions.convolutions] == [
        (100, 200, 2),
        (100, 200, 3),
        (100, 200, 4),
    ]
    assert network.node_dimension == 300
    assert network.label_vectors.shape == (10, 300)
    assert network.embed_labels().shape == (10, 200)


def test_bert(tiny_bert):
    settings = paper_settings("bert")
    encoder = settings["encoder"]
    assert (encoder.name, settings["batch_size"]) == ("bert-base-uncased", 16)
    assert settings["learning_rate"] == encoder.learning_rate == 2e-5
    encoder.set_params(name=tiny_bert)
    assert paper_settings("bert")["encoder"].name == "bert-base-uncased"
    network = HiMatchClassifier(HIERARCHY, **settings | {"max_epochs": 1}).fit(*make_corpus(6)).network_
    assert network.text_encoder.pooling == "cls"
    assert type(network.propagation) is HierarchyGCN
    assert type(network.head) is FlatHead
    # As wide as the model's own vectors, from which they start.
    assert network.label_vectors.shape == (10, 32)


def test_the_network_for_eurlex57k():
    settings = paper_settings("eurlex57k")
    assert (settings["gamma"], settings["alpha"], settings["beta"]) == (0.5, 0.01, 0.5)
    texts, label_sets = make_corpus(6)
    network = HiMatchClassifier(HIERARCHY, **settings | {"max_epochs": 1}).fit(texts, label_sets).network_
    assert isinstance(network, LabelTextNetwork)
    assert network.text_encoder.gru.forward_gru.hidden_size == 100
    assert network.label_nodes.key.weight.shape == (300, 200)
    assert network.output.weight.shape == (600, 200)
    assert network.embed_labels().shape == (10, 200)
    # Texts have some 720 words.
    assert network.max_length == 1000


def test_a_fresh_copy_each_time():
    paper_settings("wos")["net_params"]["module__top_k"] = 5
    paper_settings("wos")["gamma"] = 5
    assert paper_settings("wos") == paper_settings("rcv1")
    assert "module__top_k" not in paper_settings("wos")["net_params"]


@pytest.mark.parametrize("corpus", ["rcv1", "wos", "eurlex57k", "bert"])
def test_the_fast_schedule_keeps_network_and_objective(corpus):
    published, fast = paper_settings(corpus), paper_settings(corpus, schedule="fast")
    kept = ("encoder", "propagation", "head", "lexical", "sampling", "gamma", "alpha", "beta", "lambda_match")
    for name in (*kept, "threshold", "decoding"):
        assert repr(fast[name]) == repr(published[name])
    assert fast["lambda_joint"] > 0
    assert fast["classification_loss"] == "cross_entropy"


def test_the_fast_schedule_learns():
    texts, label_sets = make_corpus(1500)
    sizes = SMALL_RCNN | {"module__node_dimension": 8, "module__joint_dimension": 16}
    micro = {}
    for schedule in ("published", "fast"):
        settings = paper_settings("wos", schedule=schedule) | {"max_epochs": 8, "net_params": sizes}
        classifier = HiMatchClassifier(HIERARCHY, random_state=0, **settings).fit(texts, label_sets)
        micro[schedule] = classifier.validation_f1_.micro
    assert micro["fast"] > micro["published"] + 0.2


def test_unknown_schedule():
    with pytest.raises(ValueError, match="schedule='slow': paper_settings knows 'published' and 'fast'"):
        paper_settings("wos", schedule="slow")


def test_unknown_corpus():
    with pytest.raises(ValueError, match="corpus='imdb': paper_settings knows 'rcv1', 'wos', 'eurlex57k'"):
        paper_settings("imdb")


def test_nothing_of_ours_is_in_the_networks_of_words():
    """What would change the paper's network without a sign: other scorers, negatives or dropout."""
    for corpus in ("rcv1", "wos", "eurlex57k", "bert"):
        settings = paper_settings(corpus)
        assert settings["lexical"] is None
        assert settings["sampling"] == "hierarchy"
        assert settings["decoding"] == "threshold"
    assert paper_settings("wos")["net_params"] == {"module__node_dimension": 300, "module__dropout": 0.5}
    assert paper_settings("wos")["encoder"] == "rcnn"
    assert paper_settings("wos")["propagation"] == "gcn"
    assert paper_settings("eurlex57k")["net_params"]["module__dropout"] == 0.5
    assert (paper_settings("eurlex57k")["encoder"], paper_settings("eurlex57k")["propagation"]) == (
        "gru",
        None,
    )
