"""Tables: arrays of many rows, of which a step touches few. Numbers of rows, rows, and what is computed on them.

A table is spread over servers by its rows' numbers (`split`), holds only the rows that were touched (`Table`), draws
a row's first value from its number (`First`), and adds gradients row by row (`Rows`). Nothing here knows of servers.
"""

from .first import First
from .rows import Rows, chunks, is_of, merge, row_chunks, split
from .table import Evict, Table

__all__ = ["Evict", "First", "Rows", "Table", "chunks", "is_of", "merge", "row_chunks", "split"]
