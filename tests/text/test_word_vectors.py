import copy
import gzip
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.base import clone

from skhimatch.text.word_vectors import WordVectors, as_word_vectors, read_word_vectors

GLOVE = "wave 1 0.5\nfield -2 1e-1\nthe 0 0\n"


@pytest.fixture
def glove(tmp_path):
    path = tmp_path / "glove.txt"
    path.write_text(GLOVE)
    return path


@pytest.fixture
def real_vectors(real_data):
    return real_data / "vectors" / "glove.840B.300d.9910.txt"


class TestWordVectors:
    def test_lookup(self):
        vectors = WordVectors.from_mapping({"wave": [1, 2], "field": np.array([3.0, 4.0])})
        assert vectors.words == ("wave", "field")
        assert vectors.vectors.dtype == np.float32
        assert vectors.dimension == 2
        assert len(vectors) == 2
        assert "field" in vectors
        assert "tennis" not in vectors
        assert vectors["field"].tolist() == [3, 4]
        assert vectors.get("tennis") is None
        assert vectors.get("wave").tolist() == [1, 2]
        assert vectors.lookup(["field", "tennis", "wave"]).tolist() == [1, -1, 0]
        assert vectors.lookup([]).dtype == np.int64
        assert repr(vectors) == "<WordVectors: 2 words, 2 dimensions>"
        with pytest.raises(KeyError, match="tennis"):
            vectors["tennis"]

    def test_immutable_and_shared_by_clones(self):
        source = np.ones((1, 2), dtype=np.float32)
        vectors = WordVectors(["wave"], source)
        source[:] = 7
        assert vectors["wave"].tolist() == [1, 1]
        with pytest.raises(ValueError, match="read-only"):
            vectors.vectors[0, 0] = 3
        assert clone(vectors, safe=False) is vectors

    @pytest.mark.parametrize("again", [copy.deepcopy, lambda vectors: pickle.loads(pickle.dumps(vectors))])
    def test_copies(self, again):
        vectors = again(WordVectors(["wave", "field"], [[1, 2], [3, 4]]))
        assert vectors.words == ("wave", "field")
        assert vectors["field"].tolist() == [3, 4]
        assert not vectors.vectors.flags.writeable

    @pytest.mark.parametrize(
        ("words", "vectors", "message"),
        [
            (["a"], [[1], [2]], "1 words need"),
            (["a"], [1], "one row per word"),
            (["a", "b", "a"], [[1], [2], [3]], "'a' occurs twice"),
            (["a", "b"], [[1], [np.nan]], "'b' contains NaN"),
            (["a", "b"], [[np.inf], [1]], "'a' contains NaN or infinity"),
        ],
    )
    def test_refuses(self, words, vectors, message):
        with pytest.raises(ValueError, match=message):
            WordVectors(words, vectors)

    def test_from_mapping_refuses(self):
        with pytest.raises(ValueError, match="empty"):
            WordVectors.from_mapping({})
        with pytest.raises(ValueError, match=r"'b' has shape \(3,\).*'a' has \(2,\)"):
            WordVectors.from_mapping({"a": [1, 2], "b": [1, 2, 3]})


class TestReadWordVectors:
    def test_all_words(self, glove):
        vectors = read_word_vectors(glove)
        assert vectors.words == ("wave", "field", "the")
        np.testing.assert_array_equal(vectors.vectors, np.float32([[1, 0.5], [-2, 0.1], [0, 0]]))

    @pytest.mark.parametrize("words", [{"field", "tennis"}, ["tennis", "field"], {"field": 3}])
    def test_only_some_words(self, glove, words):
        vectors = read_word_vectors(str(glove), words)
        assert vectors.words == ("field",)
        assert vectors["field"].tolist() == np.float32([-2, 0.1]).tolist()

    def test_no_word_known(self, glove):
        vectors = read_word_vectors(glove, {"tennis"})
        assert (len(vectors), vectors.dimension) == (0, 2)

    @pytest.mark.parametrize("text", [GLOVE, "3 2\n" + GLOVE, GLOVE.replace("\n", " \r\n"), GLOVE + "\n\n"])
    @pytest.mark.parametrize("zipped", [False, True])
    def test_layouts(self, tmp_path, glove, text, zipped):
        path = tmp_path / ("vectors.gz" if zipped else "vectors.txt")
        path.write_bytes(gzip.compress(text.encode()) if zipped else text.encode())
        vectors = read_word_vectors(path)
        assert vectors.words == ("wave", "field", "the")
        # A byte order mark is not part of the first word.
        marked = b"\xef\xbb\xbf" + text.encode()
        path.write_bytes(gzip.compress(marked) if zipped else marked)
        assert read_word_vectors(path).words == vectors.words
        np.testing.assert_array_equal(vectors.vectors, read_word_vectors(glove).vectors)

    def test_words_with_spaces_and_unusual_line_breaks(self, tmp_path):
        path = tmp_path / "vectors.txt"
        path.write_text("a 1 2\n. . . 3 4\nto name@domain.com 5 6\nx\x85y 7 8\n", encoding="utf-8")
        vectors = read_word_vectors(path)
        assert vectors.words == ("a", ". . .", "to name@domain.com", "x\x85y")
        assert vectors[". . ."].tolist() == [3, 4]

    def test_first_of_a_repeated_word(self, tmp_path):
        path = tmp_path / "vectors.txt"
        path.write_text("a 1 2\nb 3 4\na 5 6\n")
        assert read_word_vectors(path)["a"].tolist() == [1, 2]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "Line 1 of .*vectors.txt"),
            ("wave\n", "Line 1 of .*'wave'"),
            ("a 1 2\nb 3\n", "Line 2 of .*expected 2 numbers after the word, found 1"),
            ("a 1 2\nb 3 4 5\n", "Line 2 of .*found 3"),
            ("2 2\na 1 2\nb\n", "Line 3 of .*found 0"),
            ("a 1 2\nb 3 x\n", "Line 2 of .*'x'"),
            ("3 2\na 1 2\n", "should have 3 vectors but has 1"),
            ("a 1 nan\n", "'a' contains NaN"),
        ],
    )
    def test_bad_files(self, tmp_path, text, message):
        path = tmp_path / "vectors.txt"
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            read_word_vectors(path)

    def test_missing_file(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"nowhere\.txt does not exist; pass the path"):
            read_word_vectors(tmp_path / "nowhere.txt")

    def test_real_vectors(self, real_vectors):
        words = {"physics", "biology", "tennis", "qwertzuiop"}
        vectors = read_word_vectors(real_vectors, words)
        assert set(vectors.words) == words - {"qwertzuiop"}
        assert vectors.dimension == 300

        def cosine(a, b):
            return vectors[a] @ vectors[b] / np.linalg.norm(vectors[a]) / np.linalg.norm(vectors[b])

        assert cosine("physics", "biology") > 0.4 > 0.3 > cosine("physics", "tennis")


class TestAsWordVectors:
    MATRIX = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    INDEX = {"wave": 0, "Field": 1, "the": 2}  # noqa: RUF012 (never written)

    @pytest.fixture(params=["path", "WordVectors", "mapping", "key_to_index", "index_to_key"])
    def source(self, request, tmp_path):
        if request.param == "path":
            path = tmp_path / "vectors.txt"
            path.write_text("wave 1 2\nField 3 4\nthe 5 6\n")
            return path
        if request.param == "WordVectors":
            return WordVectors(self.INDEX, self.MATRIX)
        if request.param == "mapping":
            return dict(zip(self.INDEX, self.MATRIX, strict=True))
        if request.param == "key_to_index":
            return SimpleNamespace(key_to_index=self.INDEX, vectors=self.MATRIX)
        return SimpleNamespace(index_to_key=list(self.INDEX), vectors=self.MATRIX)

    def test_every_source(self, source):
        vectors = as_word_vectors(source)
        assert vectors.words == ("wave", "Field", "the")
        np.testing.assert_array_equal(vectors.vectors, self.MATRIX)

    def test_restricted_with_other_forms(self, source):
        vectors = as_word_vectors(source, ["field", "tennis", "WAVE"])
        assert set(vectors.words) == {"Field", "wave"}
        assert vectors["Field"].tolist() == [3, 4]

    def test_no_word_known_keeps_the_dimension(self, source):
        assert as_word_vectors(source, ["tennis"]).dimension == 2

    @pytest.mark.parametrize("source", [3, [[1, 2]], np.ones((2, 2)), None])
    def test_refuses(self, source):
        with pytest.raises(TypeError, match=r"path .*WordVectors.*mapping.*KeyedVectors; got"):
            as_word_vectors(source, ["wave"])

    def test_bad_numbers_are_named(self):
        with pytest.raises(ValueError, match="'wave' contains NaN"):
            as_word_vectors({"wave": [np.nan], "the": [1]})


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_compressed_files_and_unicode_encodings_are_read(tmp_path, encoding, compress):
    file = tmp_path / "vectors"
    file.write_bytes(compress(GLOVE.encode(encoding)))
    assert read_word_vectors(file).words == ("wave", "field", "the")
