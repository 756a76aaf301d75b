"""Counting the tokens of a text. (The module's name is MXNet's: scripts call `text.utils.count_tokens_from_str`.)"""

from __future__ import annotations

import re
from collections import Counter

__all__ = ["count_tokens_from_str"]


def count_tokens_from_str(
    source_str: str,
    token_delim: str = " ",
    seq_delim: str = "\n",
    to_lower: bool = False,
    counter_to_update: Counter[str] | None = None,
) -> Counter[str]:
    """How often each token stands in a text.

    Both delimiters are regular expressions; what is empty between two of them is no token. `counter_to_update` is
    added to in place and returned; without it the counter is new.
    """
    tokens = re.split(f"{token_delim}|{seq_delim}", source_str.lower() if to_lower else source_str)
    counter: Counter[str] = Counter() if counter_to_update is None else counter_to_update
    counter.update(token for token in tokens if token)
    return counter
