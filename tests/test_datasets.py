import gzip
import json
import re
import sys
import tarfile
import textwrap
from collections import Counter

import numpy as np
import pytest

from skhimatch.datasets import (
    Corpus,
    api_docs,
    load_api_docs,
    load_eurlex57k,
    load_htc_json,
    load_rcv1,
    load_wos,
)
from skhimatch.labels.hierarchy import LabelHierarchy
from skhimatch.labels.targets import encode_targets


def test_corpus():
    corpus = Corpus(
        "tiny",
        ["a wave", "a cell", "a serve"],
        [frozenset({"physics"}), frozenset({"biology"}), frozenset()],
        LabelHierarchy([("science", "physics"), ("science", "biology")]),
        {"train": np.array([2, 0]), "test": np.array([1])},
    )
    assert len(corpus) == 3
    assert corpus.part("train") == (["a serve", "a wave"], [frozenset(), frozenset({"physics"})])
    assert corpus.part("test") == (["a cell"], [frozenset({"biology"})])
    assert repr(corpus) == "<Corpus tiny: 3 texts, 3 labels on 2 levels; train 2, test 1>"
    with pytest.raises(ValueError, match="tiny has no part 'dev'; it has train, test"):
        corpus.part("dev")


class TestApiDocs:
    def test_size(self):
        corpus = load_api_docs()
        assert 4000 <= len(corpus) <= 8000
        assert 60 <= len(corpus.hierarchy) <= 250
        assert corpus.hierarchy.depth == 3
        roots = [corpus.hierarchy.labels[position] for position in corpus.hierarchy.roots]
        assert roots == ["joblib", "numpy", "scipy", "sklearn", "torch"]
        assert corpus.hierarchy.is_tree

    def test_texts_are_real_and_distinct(self):
        corpus = load_api_docs()
        assert len(set(corpus.texts)) == len(corpus)
        assert min(len(text.split()) for text in corpus.texts) >= 20
        found = {
            text.split("\n")[0]: labels for text, labels in zip(corpus.texts, corpus.label_sets, strict=True)
        }
        assert {"sklearn", "sklearn.ensemble"} <= found["A random forest classifier."]
        assert found["Compute the 1-D discrete Fourier Transform."] >= {"scipy", "scipy.fft"}

    def test_label_sets_are_paths_with_enough_texts(self):
        corpus = load_api_docs()
        for labels in corpus.label_sets:
            deepest = max(labels, key=len)
            parts = deepest.split(".")
            assert labels == {".".join(parts[: i + 1]) for i in range(len(parts))}
        n_texts = Counter(label for labels in corpus.label_sets for label in labels)
        assert set(n_texts) == set(corpus.hierarchy.labels)
        assert min(n_texts.values()) >= 15
        assert not any("._" in label for label in corpus.hierarchy.labels)

    def test_split(self):
        corpus = load_api_docs()
        rows = np.concatenate(list(corpus.splits.values()))
        assert sorted(rows.tolist()) == list(range(len(corpus)))
        shares = {name: len(rows) / len(corpus) for name, rows in corpus.splits.items()}
        assert shares == pytest.approx({"train": 0.8, "validation": 0.1, "test": 0.1}, abs=0.001)
        assert set().union(*corpus.part("train")[1]) == set(corpus.hierarchy.labels)

    def test_built_once(self):
        assert load_api_docs() is load_api_docs()

    @pytest.fixture
    def tiny_library(self, tmp_path, monkeypatch):
        files = {
            "__init__.py": "",
            "top.py": "def solve():\n    'top {}'\n",
            "_vendor/copy.py": "def solve():\n    'vendored {}'\n",
            "tests/test_top.py": "def test_solve():\n    'tested {}'\n",
            "waves/__init__.py": "def spread():\n    'package {}'\ndef again():\n    'package {}'\n",
            "waves/_fields_impl.py": """
                class Field:
                    '''class {}'''
                    def method(self):
                        '''method {}'''
                        def inner():
                            '''inner {}'''
                    def _hidden(self):
                        '''hidden {}'''
                    def short(self):
                        '''too short'''
                if True:
                    def conditional():
                        '''
                        conditional

                        {}
                        '''
            """,
            "waves/deep/er/module.py": "def f():\n    'deep {}'\n",
            "waves/_add_newdocs.py": "add_newdoc('tiny', 'compiled', ('method', 'compiled {}'))\n",
        }
        words = " ".join(["word"] * 20)
        for name, source in files.items():
            file = tmp_path / "tiny_library" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(textwrap.dedent(source).replace("{}", words))
        # The sources must not be imported.
        (tmp_path / "tiny_library" / "broken.py").write_text("raise RuntimeError\n")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setattr(api_docs, "LIBRARIES", ("tiny_library",))

    @pytest.mark.usefixtures("tiny_library")
    def test_what_is_read(self):
        corpus = load_api_docs.__wrapped__(min_texts=1)
        library, waves = "tiny_library", "tiny_library.waves"
        assert {
            text.split()[0]: labels for text, labels in zip(corpus.texts, corpus.label_sets, strict=True)
        } == {
            "top": {library, "tiny_library.top"},
            "package": {library, waves},
            "class": {library, waves, "tiny_library.waves.fields"},
            "method": {library, waves, "tiny_library.waves.fields"},
            "conditional": {library, waves, "tiny_library.waves.fields"},
            "deep": {library, waves, "tiny_library.waves.deep"},
            "compiled": {library, waves},
        }
        assert len(corpus) == 7
        assert "tiny_library" not in sys.modules

    @pytest.mark.usefixtures("tiny_library")
    def test_small_labels_are_folded(self):
        corpus = load_api_docs.__wrapped__(min_texts=2)
        assert corpus.hierarchy.labels == ("tiny_library", "tiny_library.waves", "tiny_library.waves.fields")
        corpus = load_api_docs.__wrapped__(min_texts=99)
        assert set(corpus.label_sets) == {frozenset({"tiny_library"})}

    def test_missing_library(self, monkeypatch):
        monkeypatch.setattr(api_docs, "LIBRARIES", ("no_such_library",))
        with pytest.raises(ModuleNotFoundError, match="no_such_library, which is not installed"):
            load_api_docs.__wrapped__()


class TestHtcJson:
    @pytest.fixture
    def folder(self, tmp_path):
        folder = tmp_path / "news"
        folder.mkdir()
        (folder / "news.taxonomy").write_text("Root\tscience\tsport\nscience\tphysics\n")
        entries = {
            "train": [
                {"doc_token": "A wave", "doc_label": ["science", "physics"]},
                {"doc_token": ["a", "serve"], "doc_label": ["sport"]},
            ],
            "val": [{"doc_token": "nothing", "doc_label": []}],
            "test": [{"doc_token": "a quark", "doc_label": ["physics", "science"], "topic": 3}],
        }
        for part, lines in entries.items():
            (folder / f"news_{part}.json").write_text("".join(json.dumps(line) + "\n" for line in lines))
        return folder

    def test_read(self, folder):
        corpus = load_htc_json(folder)
        assert corpus.name == "news"
        assert corpus.texts == ["A wave", "a serve", "nothing", "a quark"]
        assert corpus.label_sets == [{"science", "physics"}, {"sport"}, set(), {"science", "physics"}]
        assert {name: rows.tolist() for name, rows in corpus.splits.items()} == {
            "train": [0, 1],
            "validation": [2],
            "test": [3],
        }
        assert corpus.hierarchy == LabelHierarchy([("science", "physics")], ["physics", "science", "sport"])
        assert load_htc_json(str(folder), name="mine").name == "mine"

    def test_a_byte_order_mark(self, folder):
        expected = load_htc_json(folder)
        for file in folder.iterdir():
            file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
        corpus = load_htc_json(folder)
        assert (corpus.texts, corpus.hierarchy) == (expected.texts, expected.hierarchy)

    def test_compressed_files(self, folder):
        expected = load_htc_json(folder)
        for file in list(folder.iterdir()):
            file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
            file.unlink()
        for corpus in (load_htc_json(folder), load_wos(folder)):
            assert (corpus.texts, corpus.hierarchy) == (expected.texts, expected.hierarchy)

    def test_misspelt_taxonomy(self, folder):
        (folder / "news.taxonomy").rename(folder / "news.taxnomy")
        assert len(load_htc_json(folder).hierarchy) == 3

    @pytest.mark.parametrize("name", ["news_train.json", "news_val.json", "news_test.json", "news.taxonomy"])
    def test_missing_files(self, folder, name):
        (folder / name).unlink()
        with pytest.raises(FileNotFoundError, match=f"has no file .*{name.removeprefix('news')}"):
            load_htc_json(folder)

    def test_ambiguous_files(self, folder):
        (folder / "old_train.json").write_text("")
        with pytest.raises(ValueError, match=r"2 files \*_train\.json"):
            load_htc_json(folder)

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("{'a': 1}", "not JSON"),
            ("[1]", "is not a JSON object"),
            ('{"doc_token": "a"}', "no 'doc_label'"),
            (
                '{"doc_token": "a", "doc_label": ["science", "tennis"]}',
                "label 'tennis', which is not in the taxonomy",
            ),
        ],
    )
    def test_bad_lines(self, folder, line, message):
        with (folder / "news_val.json").open("a") as lines:
            lines.write(line)
        with pytest.raises(ValueError, match=rf"Line 2 of .*news_val\.json .*{message}"):
            load_htc_json(folder)

    def test_real_corpus(self, real_data):
        corpus = load_wos(real_data / "wos")
        assert {name: len(rows) for name, rows in corpus.splits.items()} == {
            "train": 5788,
            "validation": 1612,
            "test": 2178,
        }
        assert len(corpus.hierarchy) == 141
        assert corpus.hierarchy.depth == 2
        assert {len(labels) for labels in corpus.label_sets} == {2}


class TestWos:
    HEADER = "Y1\tY2\tY\tDomain\tarea\tkeywords\tAbstract\n"

    def test_published_split(self, tmp_path):
        n = 46_985
        (tmp_path / "X.txt").write_text("".join(f"text{i}\n" for i in range(n)))
        (tmp_path / "YL1.txt").write_text("".join(f"{i % 7}\n" for i in range(n)))
        (tmp_path / "YL2.txt").write_text("".join(f"{i % 3}\n" for i in range(n)))
        before = np.random.get_state()[1].copy()  # noqa: NPY002 (what is tested)
        corpus = load_wos(tmp_path)
        np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002 (what is tested)
        sizes = {name: len(rows) for name, rows in corpus.splits.items()}
        assert sizes == {"train": 30070, "validation": 7518, "test": 9397}
        assert len(np.unique(np.concatenate(list(corpus.splits.values())))) == n
        assert corpus.texts[10] == "text10"
        assert corpus.label_sets[10] == {"3", "3.1"}
        assert len(corpus.hierarchy) == 7 + 21
        assert corpus.hierarchy.is_tree

    def test_table(self, tmp_path):
        rows = [
            "0\t0\t0\tCS \t Computer vision \tk\t  Seeing\tmachines ",
            *["1\t0\t1\tMAE\tFluids\tk\tFlow"] * 9,
        ]
        (tmp_path / "Data.txt").write_text(self.HEADER + "\n".join(rows) + "\n")
        corpus = load_wos(tmp_path)
        assert corpus.name == "wos"
        assert corpus.texts[:2] == ["Seeing\tmachines", "Flow"]
        assert corpus.label_sets[:2] == [{"CS", "Computer vision"}, {"MAE", "Fluids"}]
        assert corpus.hierarchy == LabelHierarchy([("CS", "Computer vision"), ("MAE", "Fluids")])
        assert [len(rows) for rows in corpus.splits.values()] == [6, 2, 2]

    def test_names_become_unique(self, tmp_path):
        names = ["Medical\tDepression", "Psychology\tDepression", "CS\tMedical", "CS\tVision", "CS\tVision"]
        (tmp_path / "Data.txt").write_text(
            self.HEADER + "".join(f"0\t0\t0\t{name}\tk\ttext\n" for name in names)
        )
        corpus = load_wos(tmp_path)
        assert corpus.label_sets == [
            {"Medical", "Depression (Medical)"},
            {"Psychology", "Depression (Psychology)"},
            {"CS", "Medical (CS)"},
            {"CS", "Vision"},
            {"CS", "Vision"},
        ]
        assert corpus.hierarchy.is_tree

    def test_json_lines_come_first(self, tmp_path):
        (tmp_path / "wos_train.json").write_text("")
        with pytest.raises(FileNotFoundError, match="taxonomy"):
            load_wos(tmp_path)

    def test_missing_files(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"neither .*_train\.json nor Data\.txt .* nor X\.txt"):
            load_wos(tmp_path)
        (tmp_path / "X.txt").write_text("text\n")
        with pytest.raises(FileNotFoundError, match=r"YL1\.txt"):
            load_wos(tmp_path)

    @pytest.mark.parametrize(
        ("files", "message"),
        [
            ({"Data.txt": "a\tb\n"}, r"Line 1 of .*Data\.txt has no column 'domain'"),
            ({"Data.txt": HEADER + "0\t0\t0\tCS\n"}, r"Line 2 of .*Data\.txt has 4 fields, not 7"),
            ({"X.txt": "a\nb\n", "YL1.txt": "0\n", "YL2.txt": "0\n0\n"}, r"YL1\.txt has 1 lines.* has 2"),
            ({"X.txt": "a\nb\n", "YL1.txt": "0\n0\n", "YL2.txt": "0\nx\n"}, r"Line 2 of .*YL2\.txt is 'x'"),
        ],
    )
    def test_bad_files(self, tmp_path, files, message):
        for name, content in files.items():
            (tmp_path / name).write_text(content)
        with pytest.raises(ValueError, match=message):
            load_wos(tmp_path)


class TestRcv1:
    """Small files in the layout of the online appendix of Lewis et al. (2004)."""

    TRAIN = "lyrl2004_tokens_train.dat"
    TESTS = tuple(f"lyrl2004_tokens_test_pt{part}.dat" for part in range(4))
    HIERARCHY = (
        "parent: None  child: Root         child-description: ROOT\n"
        "parent: Root  child: CCAT         child-description: CORPORATE/INDUSTRIAL\n"
        "parent: CCAT  child: C15          child-description: PERFORMANCE\n"
        "parent: C15   child: C151         child-description: ACCOUNTS/EARNINGS\n"
        "parent: Root  child: GCAT         child-description: GOVERNMENT/SOCIAL\n"
    )

    @pytest.fixture
    def folder(self, tmp_path):
        (tmp_path / "rcv1.topics.hier.orig").write_text(self.HIERARCHY)
        numbers = [2286 + number for number in range(20)]
        (tmp_path / self.TRAIN).write_text(
            "".join(f".I {number}\n.W\nrecov recov\nexcit w{number}\n\n" for number in numbers)
        )
        others = range(26151, 26155)
        for name, number in zip(self.TESTS, others, strict=True):
            with gzip.open(tmp_path / f"{name}.gz", "wt") as file:
                file.write(f".I {number}\r\n.W\r\ngovern t{number}\r\n\r\n")
        lines = [f"{topic} {number} 1" for number in numbers for topic in ("CCAT", "C15", "C151")]
        lines += [f"GCAT {number} 1" for number in (2287, *others)]
        (tmp_path / "rcv1-v2.topics.qrels").write_text("\n".join(lines) + "\n")
        return tmp_path

    def test_texts_topics_and_published_split(self, folder):
        corpus = load_rcv1(folder)
        assert corpus.name == "rcv1"
        assert corpus.texts[0] == "recov recov excit w2286"
        assert corpus.texts[-1] == "govern t26154"
        assert corpus.label_sets[:2] == [{"CCAT", "C15", "C151"}, {"CCAT", "C15", "C151", "GCAT"}]
        assert corpus.label_sets[-1] == {"GCAT"}
        assert corpus.hierarchy == LabelHierarchy(
            [("CCAT", "C15"), ("C15", "C151")], ["C15", "C151", "CCAT", "GCAT"]
        )
        assert corpus.label_texts["C151"] == ["ACCOUNTS/EARNINGS"]
        assert {name: len(rows) for name, rows in corpus.splits.items()} == {
            "train": 18,
            "validation": 2,
            "test": 4,
        }
        assert sorted(np.concatenate(list(corpus.splits.values()))) == list(range(24))
        assert corpus.splits["test"].tolist() == [20, 21, 22, 23]

    def test_it_can_be_learned_from(self, folder):
        corpus = load_rcv1(folder)
        targets = encode_targets(corpus.label_sets, corpus.hierarchy)
        assert corpus.hierarchy.close(targets).nnz == targets.nnz

    @pytest.mark.parametrize("name", ["rcv1.topics.hier.orig", "rcv1-v2.topics.qrels", TRAIN])
    def test_a_missing_file(self, folder, name):
        (folder / name).unlink()
        with pytest.raises(FileNotFoundError, match=rf"neither {re.escape(name)} nor"):
            load_rcv1(folder)

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("rcv1.topics.hier.orig", "CCAT C15\n", r"Line 1 of .*hier\.orig is not 'parent: P child"),
            ("rcv1-v2.topics.qrels", "CCAT 2286\n", r"Line 1 of .*qrels has 2 fields, not 3"),
            ("rcv1-v2.topics.qrels", "M11 2286 1\n", r"Line 1 of .*qrels: the topic 'M11' is not in"),
            ("rcv1-v2.topics.qrels", "CCAT 1 1\n", r"text 2286 has no topic in"),
            (TRAIN, "recov\n", r"Line 1 of .*train\.dat is 'recov'; a text begins with"),
            (TRAIN, ".I\n.W\n", r"Line 1 of .*train\.dat has no number"),
        ],
    )
    def test_bad_files(self, folder, name, content, message):
        (folder / name).write_text(content)
        with pytest.raises(ValueError, match=message):
            load_rcv1(folder)


CONCEPTS = {
    "1": {"label": "trade", "alt_labels": ["commerce", "exchange of goods"], "parents": []},
    "2": {"label": "foreign trade", "alt_labels": [], "parents": ["1"]},
    "3": {"label": "export", "alt_labels": [], "parents": ["2"]},
    "4": {"label": "farming", "alt_labels": [], "parents": []},
    "5": {"label": "farm exports", "alt_labels": [], "parents": ["3", "4"]},
}


class TestEurlex57k:
    @staticmethod
    def write(file, text, concepts):
        file.parent.mkdir(parents=True, exist_ok=True)
        sections = {
            "header": text,
            "recitals": "whereas",
            "main_body": ["1st", "2nd"],
            "attachments": "signed",
        }
        file.write_text(json.dumps(sections | {"title": "unused", "concepts": concepts}))

    @pytest.fixture
    def folder(self, tmp_path):
        folder = tmp_path / "EURLEX57K"
        self.write(folder / "train" / "b.json", "On exports", ["3", "1"])
        self.write(folder / "train" / "a.json", "On farms", ["5"])
        self.write(folder / "dev" / "c.json", "On trade", ["1"])
        self.write(folder / "test" / "d.json", "On nothing", [])
        (folder / "EURLEX57K.json").write_text(json.dumps(CONCEPTS))
        return folder

    @pytest.fixture
    def archive(self, folder):
        archive = folder.with_suffix(".tar.xz")
        with tarfile.open(archive, "w:xz") as packed:
            packed.add(folder, folder.name)
        return archive

    @pytest.mark.parametrize("layout", ["folder", "archive"])
    def test_read(self, layout, request):
        corpus = load_eurlex57k(request.getfixturevalue(layout))
        assert corpus.name == "eurlex57k"
        assert corpus.texts[0] == "On farms\nwhereas\n1st\n2nd\nsigned"
        assert [text.split("\n")[0] for text in corpus.texts[1:]] == ["On exports", "On trade", "On nothing"]
        assert corpus.label_sets == [{"5"}, {"1", "3"}, {"1"}, set()]
        assert {name: rows.tolist() for name, rows in corpus.splits.items()} == {
            "train": [0, 1],
            "validation": [2],
            "test": [3],
        }
        # No document has foreign trade or farming.
        assert corpus.hierarchy == LabelHierarchy([("1", "3"), ("3", "5")])
        assert corpus.label_texts == {
            "1": ["trade", "commerce", "exchange of goods"],
            "3": ["export"],
            "5": ["farm exports"],
        }

    def test_frequency_groups(self, folder):
        groups = load_eurlex57k(folder).frequency_groups(frequent=0)
        assert {group: labels.tolist() for group, labels in groups.items()} == {
            "frequent": [0, 1, 2],
            "few": [],
            "zero": [],
        }
        self.write(folder / "test" / "e.json", "On farming", ["4"])
        groups = load_eurlex57k(folder).frequency_groups()
        assert {group: labels.tolist() for group, labels in groups.items()} == {
            "frequent": [],
            "few": [0, 1, 3],
            "zero": [2],
        }

    def test_a_cycle_of_concepts(self, folder):
        around = CONCEPTS | {"1": CONCEPTS["1"] | {"parents": ["3"]}}
        (folder / "EURLEX57K.json").write_text(json.dumps(around))
        with pytest.raises(ValueError, match=r"EURLEX57K\.json: the hierarchy has a cycle: 1 -> 2 -> 3 -> 1"):
            load_eurlex57k(folder)

    def test_main_body_in_one_piece(self, folder):
        file = folder / "dev" / "c.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"main_body": "all of it"}))
        assert load_eurlex57k(str(folder)).texts[2] == "On trade\nwhereas\nall of it\nsigned"

    @pytest.mark.parametrize("lacking", ["train/*.json", "dev/*.json", "test/*.json", "EURLEX57K.json"])
    def test_missing_parts(self, folder, lacking):
        for file in folder.glob(lacking):
            file.unlink()
        with pytest.raises(FileNotFoundError, match=rf"EURLEX57K lacks {lacking}".replace("*", r"\*")):
            load_eurlex57k(folder)

    def test_missing_path(self, tmp_path):
        with pytest.raises(
            FileNotFoundError, match=r"nowhere does not exist; pass the folder EURLEX57K or its \.tar\.xz"
        ):
            load_eurlex57k(tmp_path / "nowhere")

    def test_unknown_concept(self, folder):
        self.write(folder / "dev" / "e.json", "On fish", ["1", "6"])
        with pytest.raises(ValueError, match=r"dev/e\.json has the concept '6'; EURLEX57K\.json lacks it"):
            load_eurlex57k(folder)

    @pytest.mark.parametrize(
        ("concept", "message"),
        [
            ({"label": "fish", "alt_labels": [], "parents": ["7"]}, "has the parent '7', which is not among"),
            ({"label": "fish", "alt_labels": []}, "has no 'parents'"),
            ("fish", "is not a JSON object"),
        ],
    )
    def test_bad_concepts(self, folder, concept, message):
        (folder / "EURLEX57K.json").write_text(json.dumps(CONCEPTS | {"6": concept}))
        with pytest.raises(ValueError, match=rf"The concept '6' in EURLEX57K\.json {message}"):
            load_eurlex57k(folder)

    @pytest.mark.parametrize(
        ("content", "message"),
        [("{", "is not JSON"), ("[]", "is not a JSON object"), ('{"header": "a"}', "has no 'recitals'")],
    )
    def test_bad_documents(self, folder, content, message):
        (folder / "test" / "d.json").write_text(content)
        with pytest.raises(ValueError, match=rf"test/d\.json {message}"):
            load_eurlex57k(folder)

    def test_an_archive_cut_anywhere(self, archive):
        content = archive.read_bytes()
        for length in range(0, len(content) - 100, 16):
            archive.write_bytes(content[:length])
            with pytest.raises(ValueError, match=r"EURLEX57K\.tar\.xz is incomplete; download it again"):
                load_eurlex57k(archive)

    def test_no_archive(self, archive):
        archive.write_text("<html>Not found</html>")
        with pytest.raises(ValueError, match=r"damaged, or not a \.tar\.xz archive"):
            load_eurlex57k(archive)

    def test_real_corpus(self, real_data):
        corpus = load_eurlex57k(real_data / "EURLEX57K.tar.xz")
        sizes = {name: len(rows) for name, rows in corpus.splits.items()}
        assert sizes == {"train": 45_000, "validation": 6_000, "test": 6_000}
        assert len(corpus.hierarchy) == len(corpus.label_texts) == 4271
        assert corpus.label_texts["1000"] == ["financing"]
        groups = corpus.frequency_groups()
        assert {group: len(labels) for group, labels in groups.items()} == {
            "frequent": 739,
            "few": 3369,
            "zero": 163,
        }
        assert not corpus.hierarchy.is_tree
