"""mx.contrib.text: counts, numbers and vectors as MXNet gives them, and the errors."""

from collections import Counter
from typing import ClassVar

import numpy as np
import pytest

import psdist as mx
from psdist.contrib import text

LINES = "a 1 2\nb 3 4\n<unk> 7 8\nc 1 1 \n"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "vectors.txt"
    path.write_text(LINES)
    return path


def rows(embedding):
    return embedding.idx_to_vec.asnumpy().tolist()


def test_delimiters_are_regular_expressions_and_counters_are_added_to():
    count = text.utils.count_tokens_from_str
    assert count("a b  c\n\nd A") == Counter({"a": 1, "b": 1, "c": 1, "d": 1, "A": 1})
    assert count("*Life is*\n*life*", r"\*", " ") == Counter({"Life": 1, "is": 1, "\n": 1, "life": 1})
    before = Counter(a=2)
    assert count("A a", to_lower=True, counter_to_update=before) is before == Counter(a=4)


def test_frequent_tokens_come_first_and_equals_in_their_own_order():
    vocab = text.vocab.Vocabulary(Counter("ddbbaac"), 2, reserved_tokens=["<pad>", "c"])
    assert vocab.idx_to_token == ["<unk>", "<pad>", "c", "a", "b"]
    assert vocab.token_to_idx["a"] == 3
    assert len(vocab) == 5
    assert vocab.to_indices(["b", "nothing"]) == [4, 0]
    assert vocab.to_indices("a") == 3
    assert vocab.to_tokens([0, 4]) == ["<unk>", "b"]
    assert vocab.to_tokens(1) == "<pad>"
    assert vocab.unknown_token == "<unk>"
    assert vocab.reserved_tokens == ["<pad>", "c"]
    assert text.vocab.Vocabulary(Counter("aab"), min_freq=2).idx_to_token == ["<unk>", "a"]
    assert text.vocab.Vocabulary(Counter([("x", 1)])).to_indices(("x", 1)) == 1


def test_arguments_that_contradict_each_other_are_refused():
    make = text.vocab.Vocabulary
    with pytest.raises(AssertionError, match="min_freq is 0; wanted 1 or more"):
        make(Counter("a"), min_freq=0)
    with pytest.raises(AssertionError, match="has a token twice"):
        make(Counter("a"), reserved_tokens=["b", "b"])
    with pytest.raises(AssertionError, match="'b' is among reserved_tokens"):
        make(Counter("a"), unknown_token="b", reserved_tokens=["b"])
    with pytest.raises(mx.MXNetError, match=r"counter is a dict; wanted a collections\.Counter"):
        make({"a": 1})
    with pytest.raises(ValueError, match="index 9; wanted whole numbers from 0 to 1"):
        make(Counter("a")).to_tokens([0, 9])


def test_a_file_s_tokens_have_its_vectors_and_others_the_unknown_one(file):
    e = text.embedding.CustomEmbedding(file)
    assert e.idx_to_token == ["<unk>", "a", "b", "c"]
    assert e.vec_len == 2
    assert len(e) == 4
    assert rows(e) == [[7, 8], [1, 2], [3, 4], [1, 1]]
    assert e.idx_to_vec.dtype == np.float32
    assert e.get_vecs_by_tokens("A").asnumpy().tolist() == [7, 8]
    assert e.get_vecs_by_tokens(["A", "?"], lower_case_backup=True).asnumpy().tolist() == [[1, 2], [7, 8]]
    other = text.embedding.CustomEmbedding(file, unknown_token="?", init_unknown_vec=mx.nd.ones)
    assert rows(other)[0] == [1, 1]
    assert other.idx_to_token[3] == "<unk>"


def test_a_vocabulary_chooses_the_tokens_and_a_composite_joins_vectors(file):
    vocab = text.vocab.Vocabulary(Counter("azb"), unknown_token="U", reserved_tokens=["P"])
    e = text.embedding.CustomEmbedding(file, vocabulary=vocab)
    assert e.idx_to_token == ["U", "P", "a", "b", "z"]
    assert e.reserved_tokens == ["P"]
    assert rows(e) == [[7, 8], [7, 8], [1, 2], [3, 4], [7, 8]]
    both = text.embedding.CompositeEmbedding(vocab, [text.embedding.CustomEmbedding(file), e])
    assert rows(both)[2:] == [[1, 2, 1, 2], [3, 4, 3, 4], [7, 8, 7, 8]]
    assert both.vec_len == 4


def test_vectors_may_be_changed_where_the_token_is_named(file):
    e = text.embedding.CustomEmbedding(file)
    e.update_token_vectors(["a", "<unk>"], mx.nd.array([[9, 9], [8, 8]]))
    e.update_token_vectors("b", mx.nd.array([5, 6]))
    assert rows(e) == [[8, 8], [9, 9], [5, 6], [1, 1]]
    with pytest.raises(
        ValueError, match="token '\\?' is not here; for the vector of all unknown tokens say '<unk>'"
    ):
        e.update_token_vectors("?", mx.nd.array([1, 2]))
    with pytest.raises(AssertionError, match=r"an? NDArray of \(2,\); wanted an NDArray of \(2, 2\)"):
        e.update_token_vectors(["a", "b"], mx.nd.array([1, 2]))


def test_headings_and_repeated_tokens_are_left_out_with_a_warning(file):
    file.write_text("3 2\n" + LINES + "a 5 6\n")
    with pytest.warns(UserWarning, match="left out") as told:
        assert rows(text.embedding.CustomEmbedding(file)) == [[7, 8], [1, 2], [3, 4], [1, 1]]
    assert [str(w.message).split(": ", 1)[1] for w in told] == [
        "token '3' has one number, as a heading would; left out",
        "token 'a' came before; left out",
    ]


@pytest.mark.parametrize(
    ("lines", "error", "message"),
    [
        ("a 1 2\nb\n", AssertionError, "line 2: token 'b' has no vector; are ' ' between a line's numbers"),
        ("a 1 2\nb 1 2 3\n", AssertionError, "line 2: token 'b' has 3 numbers; the lines before it have 2"),
        ("a 1 x\n", ValueError, "line 1: token 'a': could not convert string to float: 'x'"),
        ("", ValueError, "has no vectors"),
    ],
)
def test_a_bad_file_is_an_error_that_names_the_line(file, lines, error, message):
    file.write_text(lines)
    with pytest.raises(error, match=message) as raised:
        text.embedding.CustomEmbedding(file)
    assert isinstance(raised.value, mx.MXNetError)


def test_published_files_are_looked_for_under_the_root(tmp_path):
    names = text.embedding.get_pretrained_file_names
    assert "glove.6B.50d.txt" in names()["glove"]
    assert "wiki.zh_yue.vec" in names("fasttext")
    with pytest.raises(FileNotFoundError, match=r"glove\.6B\.50d\.txt is not there; put the unpacked file"):
        text.embedding.create("glove", pretrained_file_name="glove.6B.50d.txt", embedding_root=tmp_path)
    (tmp_path / "glove").mkdir()
    (tmp_path / "glove" / "glove.6B.50d.txt").write_text(LINES)
    e = text.embedding.create("GloVe", pretrained_file_name="glove.6B.50d.txt", embedding_root=tmp_path)
    assert rows(e)[1] == [1, 2]
    with pytest.raises(KeyError, match="GloVe: there is no file 'x'; known are glove"):
        text.embedding.create("glove", pretrained_file_name="x")
    with pytest.raises(AssertionError, match="'nope' is not registered; known are"):
        text.embedding.create("nope")
    with pytest.raises(KeyError, match="'nope' is not registered"):
        names("nope")


def test_a_class_of_one_s_own_is_registered_and_its_file_s_sum_checked(tmp_path, monkeypatch):
    monkeypatch.setattr(text.embedding, "_classes", dict(text.embedding._classes))

    @text.embedding.register
    class Mine(text.embedding._TokenEmbedding):
        pretrained_file_name_sha1: ClassVar = {"mine.vec": "0" * 40}

        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self._load_embedding(self._get_pretrained_file(tmp_path, "mine.vec"), " ", mx.nd.zeros)

    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "mine.vec").write_text(LINES)
    with pytest.raises(ValueError, match=r"mine\.vec has the SHA-1 sum .*; wanted 0000"):
        text.embedding.create("mine")
    Mine.pretrained_file_name_sha1 = {"mine.vec": ""}
    assert text.embedding.create("mine").to_indices("c") == 3
