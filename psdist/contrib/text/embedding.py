"""Vectors for tokens, read from a file of one token a line: its name, then its numbers.

Nothing is downloaded. `create("glove")` and `create("fasttext")` look for the file under
`embedding_root/glove` and `embedding_root/fasttext`, where MXNet kept what it had fetched.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeVar

import numpy as np

from ...errors import BadArgument, ConfigError, NoSuchFile, UnknownName
from ...ndarray import NDArray, array, zeros
from . import files
from .vocab import Vocabulary

__all__ = [
    "CompositeEmbedding",
    "CustomEmbedding",
    "FastText",
    "GloVe",
    "create",
    "get_pretrained_file_names",
    "register",
]

E = TypeVar("E", bound="type[_TokenEmbedding]")
Initializer = Callable[..., NDArray]  # shape -> the vector of the unknown token
_classes: dict[str, type[_TokenEmbedding]] = {}  # by lower-case name
_ROOT = os.path.join("~", ".mxnet", "embeddings")


def register(embedding_cls: E) -> E:
    """Enter a class of embeddings under its name in lower case; as a decorator."""
    _classes[embedding_cls.__name__.lower()] = embedding_cls
    return embedding_cls


def create(embedding_name: str, **kwargs: Any) -> _TokenEmbedding:
    """An embedding of a registered class, made with `kwargs`. Raises BadArgument for a name that is not registered."""
    cls = _classes.get(embedding_name.lower())
    if cls is None:
        raise BadArgument(
            f"embedding {embedding_name!r} is not registered; known are {', '.join(sorted(_classes))}"
        )
    return cls(**kwargs)


def get_pretrained_file_names(embedding_name: str | None = None) -> Any:
    """The file names that a registered class takes; without a name, those of every class in a dict."""
    if embedding_name is None:
        return {name: list(cls.pretrained_file_name_sha1) for name, cls in _classes.items()}
    if embedding_name not in _classes:
        raise UnknownName(
            f"embedding {embedding_name!r} is not registered; known are {', '.join(sorted(_classes))}"
        )
    return list(_classes[embedding_name].pretrained_file_name_sha1)


class _TokenEmbedding(Vocabulary):
    """A vocabulary whose tokens have vectors: the tokens of a file in its order, behind the unknown token.

    A class of your own calls `_load_embedding` (and `_build_embedding_for_vocabulary`) in its `__init__`; what files
    there may be, it says in `pretrained_file_name_sha1`, by name, with SHA-1 sums that are checked where they are given.
    """

    pretrained_file_name_sha1: ClassVar[dict[str, str]] = {}
    _idx_to_vec: NDArray
    _vec_len: int

    def __init__(
        self, counter: Counter[Any] | None = None, unknown_token: Any = "<unk>", **kwargs: Any
    ) -> None:
        super().__init__(counter, unknown_token=unknown_token, **kwargs)

    @classmethod
    def _check_pretrained_file_names(cls, pretrained_file_name: str) -> None:
        if pretrained_file_name not in cls.pretrained_file_name_sha1:
            known = list(cls.pretrained_file_name_sha1)
            shown = ", ".join(known[:10]) + (", …" if len(known) > 10 else "")
            raise UnknownName(
                f"{cls.__name__}: there is no file {pretrained_file_name!r}; known are {shown} "
                "(get_pretrained_file_names has them all)"
            )

    @classmethod
    def _get_pretrained_file(cls, embedding_root: str | os.PathLike[str], pretrained_file_name: str) -> str:
        """The path of a file under `embedding_root`. Raises NoSuchFile if it is not there, ConfigError if it differs."""
        folder = os.path.join(os.path.expanduser(embedding_root), cls.__name__.lower())
        path = os.path.join(folder, pretrained_file_name)
        if not os.path.isfile(path):
            raise NoSuchFile(
                f"{cls.__name__}: {path} is not there; put the unpacked file into that folder (psdist downloads nothing)"
            )
        if wanted := cls.pretrained_file_name_sha1.get(pretrained_file_name):
            with open(path, "rb") as f:
                got = hashlib.file_digest(f, "sha1").hexdigest()
            if got != wanted:
                raise ConfigError(
                    f"{path} has the SHA-1 sum {got}; wanted {wanted}: the file is damaged or another"
                )
        return path

    def _load_embedding(
        self,
        pretrained_file_path: str | os.PathLike[str],
        elem_delim: str,
        init_unknown_vec: Initializer,
        encoding: str = "utf8",
    ) -> None:
        """Add the file's tokens. Its line for the unknown token, or else `init_unknown_vec(shape=…)`, is row 0."""
        read = files.read(pretrained_file_path, elem_delim, encoding, self._unknown_token)
        for token in read.tokens:
            self._append(token)
        self._vec_len = read.vectors.shape[1]
        missing = len(self) - len(read.tokens)  # tokens that were here before: their vector is not known
        vectors = np.zeros((len(self), self._vec_len), np.float32)
        vectors[missing:] = read.vectors
        vectors[0] = init_unknown_vec(shape=self._vec_len).asnumpy() if read.unknown is None else read.unknown
        self._idx_to_vec = array(vectors)

    def _index_tokens_from_vocabulary(self, vocabulary: Vocabulary) -> None:
        self._token_to_idx = vocabulary.token_to_idx.copy()
        self._idx_to_token = vocabulary.idx_to_token[:]
        self._unknown_token = vocabulary.unknown_token
        self._reserved_tokens = None if vocabulary.reserved_tokens is None else vocabulary.reserved_tokens[:]

    def _set_idx_to_vec_by_embeddings(
        self, token_embeddings: Sequence[_TokenEmbedding], vocab_len: int, vocab_idx_to_token: list[Any]
    ) -> None:
        """Side by side, the vectors that each embedding has for the tokens; row 0 is what it has for an unknown one."""
        parts = []
        for each in token_embeddings:
            numbers = [0, *each.to_indices(vocab_idx_to_token[1:vocab_len])]
            parts.append(each.idx_to_vec.asnumpy()[numbers])
        self._idx_to_vec = array(np.concatenate(parts, axis=1))
        self._vec_len = sum(each.vec_len for each in token_embeddings)

    def _build_embedding_for_vocabulary(self, vocabulary: Vocabulary | None) -> None:
        """Keep the vectors of the vocabulary's tokens only, in its order; with None, all as they are."""
        if vocabulary is None:
            return
        if not isinstance(vocabulary, Vocabulary):
            raise BadArgument(f"vocabulary is a {type(vocabulary).__name__}; wanted a Vocabulary")
        self._set_idx_to_vec_by_embeddings([self], len(vocabulary), vocabulary.idx_to_token)
        self._index_tokens_from_vocabulary(vocabulary)

    @property
    def vec_len(self) -> int:
        """How many numbers a vector has."""
        return self._vec_len

    @property
    def idx_to_vec(self) -> NDArray:
        """(tokens, vec_len): the vectors by number."""
        return self._idx_to_vec

    def get_vecs_by_tokens(self, tokens: str | list[str], lower_case_backup: bool = False) -> NDArray:
        """The vector of a token (1-D), or of each of a list (2-D); the unknown token's for one that has none.

        With `lower_case_backup` a token that has none is looked for in lower case first.
        """
        asked = tokens if isinstance(tokens, list) else [tokens]
        if lower_case_backup:
            asked = [token if token in self._token_to_idx else token.lower() for token in asked]
        rows = self._idx_to_vec._data[self.to_indices(asked)]
        return array(rows if isinstance(tokens, list) else rows[0])

    def update_token_vectors(self, tokens: str | list[str], new_vectors: NDArray) -> None:
        """Give tokens other vectors: one row for each; for a single token a 1-D array too.

        Raises ConfigError (a ValueError too) for a token that is not here: to change what unknown tokens have, name
        the unknown token itself. Raises BadArgument for vectors of another shape.
        """
        asked = tokens if isinstance(tokens, list) else [tokens]
        shape = getattr(new_vectors, "shape", None)
        wanted = (len(asked), self._vec_len)
        if not isinstance(new_vectors, NDArray) or not (
            shape == wanted or (len(asked) == 1 and shape == wanted[1:])
        ):
            given = (
                type(new_vectors).__name__ if shape is None else f"a {type(new_vectors).__name__} of {shape}"
            )
            raise BadArgument(f"update_token_vectors: new_vectors is {given}; wanted an NDArray of {wanted}")
        for token in asked:
            if token not in self._token_to_idx:
                raise ConfigError(
                    f"update_token_vectors: token {token!r} is not here; for the vector of all unknown tokens say "
                    f"{self._unknown_token!r}"
                )
        self._idx_to_vec._data[self.to_indices(asked)] = new_vectors.asnumpy().reshape(wanted)


@register
class GloVe(_TokenEmbedding):
    """Pennington, Socher and Manning's vectors (2014), of the files that their page has in its archives.

    The file is looked for in `embedding_root/glove`.
    """

    pretrained_file_name_sha1: ClassVar[dict[str, str]] = dict.fromkeys(files.GLOVE, "")

    def __init__(
        self,
        pretrained_file_name: str = "glove.840B.300d.txt",
        embedding_root: str | os.PathLike[str] = _ROOT,
        init_unknown_vec: Initializer = zeros,
        vocabulary: Vocabulary | None = None,
        **kwargs: Any,
    ) -> None:
        self._check_pretrained_file_names(pretrained_file_name)
        super().__init__(**kwargs)
        path = self._get_pretrained_file(embedding_root, pretrained_file_name)
        self._load_embedding(path, " ", init_unknown_vec)
        self._build_embedding_for_vocabulary(vocabulary)


@register
class FastText(_TokenEmbedding):
    """Bojanowski and others' vectors of Wikipedia in many languages (2016), and of the web's English.

    The file is looked for in `embedding_root/fasttext`.
    """

    pretrained_file_name_sha1: ClassVar[dict[str, str]] = dict.fromkeys(files.FASTTEXT, "")

    def __init__(
        self,
        pretrained_file_name: str = "wiki.simple.vec",
        embedding_root: str | os.PathLike[str] = _ROOT,
        init_unknown_vec: Initializer = zeros,
        vocabulary: Vocabulary | None = None,
        **kwargs: Any,
    ) -> None:
        self._check_pretrained_file_names(pretrained_file_name)
        super().__init__(**kwargs)
        path = self._get_pretrained_file(embedding_root, pretrained_file_name)
        self._load_embedding(path, " ", init_unknown_vec)
        self._build_embedding_for_vocabulary(vocabulary)


class CustomEmbedding(_TokenEmbedding):
    """The vectors of a file of your own: a token a line, `elem_delim` between it and each of its numbers."""

    def __init__(
        self,
        pretrained_file_path: str | os.PathLike[str],
        elem_delim: str = " ",
        encoding: str = "utf8",
        init_unknown_vec: Initializer = zeros,
        vocabulary: Vocabulary | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._load_embedding(pretrained_file_path, elem_delim, init_unknown_vec, encoding)
        self._build_embedding_for_vocabulary(vocabulary)


class CompositeEmbedding(_TokenEmbedding):
    """A vocabulary's tokens, each with the vectors that several embeddings have for it, one behind the other."""

    def __init__(
        self, vocabulary: Vocabulary, token_embeddings: _TokenEmbedding | Sequence[_TokenEmbedding]
    ) -> None:
        given = [token_embeddings] if isinstance(token_embeddings, _TokenEmbedding) else token_embeddings
        if not isinstance(vocabulary, Vocabulary):
            raise BadArgument(
                f"CompositeEmbedding: vocabulary is a {type(vocabulary).__name__}; wanted a Vocabulary"
            )
        if not isinstance(given, list | tuple) or not all(isinstance(e, _TokenEmbedding) for e in given):
            raise BadArgument(
                "CompositeEmbedding: token_embeddings: wanted an embedding or a list of embeddings"
            )
        self._index_tokens_from_vocabulary(vocabulary)
        self._set_idx_to_vec_by_embeddings(given, len(self), self._idx_to_token)
