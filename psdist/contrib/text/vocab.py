"""Numbers for tokens: the unknown token is 0, then the reserved ones, then the frequent ones, most frequent first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import Any, overload

from ...errors import BadArgument, ConfigError

__all__ = ["Vocabulary"]


class Vocabulary:
    """The tokens of `counter` that come at least `min_freq` times, of these the `most_freq_count` most frequent.

    Tokens of one frequency stand in their own order. `unknown_token` has number 0 and stands for every token that has no
    number; `reserved_tokens` (padding, say) follow it and do not count towards `most_freq_count`. Tokens may be anything
    that can be hashed and compared. Raises BadArgument (an AssertionError too) for arguments that contradict each other.
    """

    def __init__(
        self,
        counter: Counter[Any] | None = None,
        most_freq_count: int | None = None,
        min_freq: int = 1,
        unknown_token: Hashable = "<unk>",
        reserved_tokens: Sequence[Hashable] | None = None,
    ) -> None:
        reserved = None if reserved_tokens is None else list(reserved_tokens)
        if min_freq < 1:
            raise BadArgument(f"Vocabulary: min_freq is {min_freq}; wanted 1 or more")
        if counter is not None and not isinstance(counter, Counter):
            raise BadArgument(
                f"Vocabulary: counter is a {type(counter).__name__}; wanted a collections.Counter of tokens"
            )
        if reserved is not None and unknown_token in reserved:
            raise BadArgument(
                f"Vocabulary: the unknown token {unknown_token!r} is among reserved_tokens {reserved}"
            )
        if reserved is not None and len(set(reserved)) < len(reserved):
            raise BadArgument(f"Vocabulary: reserved_tokens {reserved} has a token twice")
        self._unknown_token = unknown_token
        self._reserved_tokens = reserved
        self._idx_to_token: list[Any] = [unknown_token, *(reserved or ())]
        self._token_to_idx = {token: i for i, token in enumerate(self._idx_to_token)}
        found = sorted((counter or Counter()).items())
        found.sort(key=lambda item: item[1], reverse=True)  # a stable sort: equals stay in their own order
        new = [t for t, count in found if count >= min_freq and t not in self._token_to_idx]
        bound = most_freq_count is not None and most_freq_count >= 0
        for token in new[:most_freq_count] if bound else new:
            self._append(token)

    def _append(self, token: Any) -> None:
        self._token_to_idx[token] = len(self._idx_to_token)
        self._idx_to_token.append(token)

    def __len__(self) -> int:
        return len(self._idx_to_token)

    @property
    def token_to_idx(self) -> dict[Any, int]:
        """The number of each token."""
        return self._token_to_idx

    @property
    def idx_to_token(self) -> list[Any]:
        """The tokens by number."""
        return self._idx_to_token

    @property
    def unknown_token(self) -> Any:
        """What stands for every token without a number."""
        return self._unknown_token

    @property
    def reserved_tokens(self) -> list[Any] | None:
        """The tokens right behind the unknown one, as they were given."""
        return self._reserved_tokens

    @overload
    def to_indices(self, tokens: list[Any]) -> list[int]: ...
    @overload
    def to_indices(self, tokens: Hashable) -> int: ...
    def to_indices(self, tokens: Any) -> Any:
        """The number of a token, or of each of a list; 0 for one that has none."""
        if isinstance(tokens, list):
            return [self._token_to_idx.get(token, 0) for token in tokens]
        return self._token_to_idx.get(tokens, 0)

    def to_tokens(self, indices: int | list[int]) -> Any:
        """The token of a number, or of each of a list. Raises ConfigError (a ValueError too) for a number too high."""
        for i in indices if isinstance(indices, list) else [indices]:
            if not isinstance(i, int) or not -len(self) <= i < len(self):
                raise ConfigError(f"to_tokens: index {i!r}; wanted whole numbers from 0 to {len(self) - 1}")
        if isinstance(indices, list):
            return [self._idx_to_token[i] for i in indices]
        return self._idx_to_token[indices]
