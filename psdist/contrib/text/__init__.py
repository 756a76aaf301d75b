"""`mx.contrib.text`: counting tokens, numbering them, and the vectors that stand for them."""

from . import embedding, utils, vocab

__all__ = ["embedding", "utils", "vocab"]
