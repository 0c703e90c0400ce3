"""Explanations as plain text and as HTML."""

from html.parser import HTMLParser

import pytest

from skhimatch.explanation.html import marked_text
from skhimatch.explanation.results import (
    AttendedWord,
    DecisionChange,
    Evidence,
    ExplainedLabel,
    Explanation,
    LabelExplanation,
    LabelProbability,
    Neighbour,
    NGramContribution,
    NGramWeight,
    ScoredText,
    Unread,
    WordEffect,
)

EVIL = "<script>alert('x')</script> & \"lens\" \ud800\x00"


def an_explanation(text="The lens, the mirror", word="lens", label="optics"):
    evidence = (
        Evidence("ngrams", 0.5, 1.5, ngrams=(NGramContribution(word, 1.25),), bias=0.25),
        Evidence("names", -0.1, -0.001, name_words=(word,)),
        Evidence("words", 0.2, 0.4, attention=(AttendedWord(word, 0.75), AttendedWord("the", 0.25))),
        Evidence("pretrained", 0.0, 0.0, scored=False),
    )
    explained = ExplainedLabel(
        label=label,
        probability=0.875,
        log_odds=1.945,
        predicted=True,
        threshold=0.5,
        words=(WordEffect(word, 2.0, ((4, 8),)), WordEffect("the", -0.5, ((0, 3), (10, 13)))),
        evidence=evidence,
        constant=-0.25,
        adjustment=0.296,
        rival="mechanics",
        siblings=(LabelProbability(label, 0.875), LabelProbability("mechanics", 0.1)),
        distance=0.5,
        changed_by=(word,),
    )
    change = DecisionChange(word, (label,), ("mechanics",))
    unread = Unread(("words",), 4, 5, "words", 14)
    return Explanation(text, ("science", label), (explained,), (change,), 5, (unread,))


def a_label_explanation(label="optics", text="a lens"):
    return LabelExplanation(
        label=label,
        level=2,
        parents=("physics",),
        children=(),
        siblings=("mechanics",),
        n_texts=12,
        ngrams=(NGramWeight("lens", 3.5),),
        opposing_ngrams=(NGramWeight("lever", -1.0),),
        characters=(),
        neighbours=(Neighbour("mechanics", 0.25),),
        compared_by="joint space",
        typical=(ScoredText(3, text, 0.9, True),),
        lowest_true=(ScoredText(1, text, 0.2, False),),
    )


def test_plain_text():
    expected = """\
Text: The lens, the mirror
Predicted: science, optics
Only the first 4 of 5 words are read (network of words).
Other labels without one of: 'lens' (-optics, +mechanics)

optics: probability 0.875, predicted, threshold 0.50
  words for it: lens +2.00
  words against it: the -0.50
  not predicted without: 'lens'
  rank 1 of 2 siblings: optics 0.875, mechanics 0.100
  distance in the joint space: 0.500
  n-grams of words       +1.50  'lens' +1.25
  name of the label      +0.00  in the text: lens
  network of words       +0.40  attends to 'lens' 75%, 'the' 25%
  pretrained encoder     +0.00  not scored: the label is not on the shortlist of the text
  constant               -0.25
  not linear             +0.30  other paths, limits of the parents, calibration
  log-odds               +1.95  compared with the path to mechanics"""
    assert str(an_explanation()) == repr(an_explanation()) == expected


def test_plain_text_of_a_label():
    expected = """\
optics: level 2, training texts: 12
  parents: physics
  siblings: mechanics
  words for it: 'lens' +3.50
  words against it: 'lever' -1.00
  neighbours (joint space): mechanics 0.25
  typical texts:
    0.900  [3] a lens
  texts with the label, the least probable first:
    0.200 (not predicted)  [1] a lens"""
    assert str(a_label_explanation()) == repr(a_label_explanation()) == expected


def test_long_texts_are_shortened_in_plain_text_only():
    explanation = an_explanation(text="The lens, the " + "mirror " * 100)
    assert str(explanation).splitlines()[0].endswith(" ...")
    assert len(str(explanation).splitlines()[0]) < 110
    assert explanation.to_html().count("mirror ") == 100


class Checked(HTMLParser):
    """Checks that elements are closed in order, and collects elements and text."""

    EMPTY = frozenset({"br", "img", "meta", "link", "input"})

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.text, self.attributes = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def parsed(html):
    parser = Checked()
    parser.feed(html)
    parser.close()
    assert parser.open == []
    return parser


@pytest.mark.parametrize("explanation", [an_explanation(), a_label_explanation()])
def test_html_is_self_contained(explanation):
    html = explanation.to_html()
    assert explanation._repr_html_() == html
    found = parsed(html)
    assert found.tags[0] == "div"
    assert set(found.tags) <= {
        "div",
        "p",
        "b",
        "mark",
        "table",
        "tr",
        "th",
        "td",
        "ul",
        "li",
        "details",
        "summary",
    }
    assert {name for name, _ in found.attributes} <= {"style", "title", "open"}
    assert "http" not in html
    text = "".join(found.text)
    assert "optics" in text
    assert "lens" in text
    assert "mechanics" in text


@pytest.mark.parametrize(
    "explanation",
    [an_explanation(text=EVIL, word=EVIL, label=EVIL), a_label_explanation(label=EVIL, text=EVIL)],
)
def test_everything_in_html_is_escaped(explanation):
    html = explanation.to_html()
    found = parsed(html)
    assert "script" not in found.tags
    assert "<script>alert('x')</script> & \"lens\" \N{REPLACEMENT CHARACTER}" in "".join(found.text)
    # It can be written to a file.
    assert html.encode("utf-8")
    assert "\x00" not in html


def test_words_are_marked_where_they_are():
    words = [WordEffect("lens", 2.0, ((4, 8),)), WordEffect("the", -1.0, ((0, 3), (10, 13)))]
    html = marked_text("The lens, the <b>", words)
    found = parsed(html)
    assert "".join(found.text) == "The lens, the <b>"
    titles = [value for name, value in found.attributes if name == "title"]
    assert titles == ["-1.00", "+2.00", "-1.00"]
    colours = [value for name, value in found.attributes if name == "style"]
    assert colours[0] == colours[2] != colours[1]


def test_of_overlapping_words_the_stronger_is_marked():
    words = [WordEffect("กข", 2.0, ((0, 2),)), WordEffect("ขค", 1.0, ((1, 3),))]
    found = parsed(marked_text("กขค", words))
    assert found.text == ["กข", "ค"]
    assert [value for name, value in found.attributes if name == "title"] == ["+2.00", "+1.00"]


def test_words_without_effect_are_not_marked():
    assert marked_text("a & b", [WordEffect("a", 0.0, ((0, 1),))]) == "a &amp; b"
    assert marked_text("", []) == ""
