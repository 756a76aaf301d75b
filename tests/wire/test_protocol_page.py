"""docs/PROTOCOL.md says what the code does: its tables, and the bytes of its examples."""

from __future__ import annotations

import dataclasses
import json
import re
import typing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from psdist.wire import codec, decode, encode
from psdist.wire import messages as m

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "PROTOCOL.md").read_text()
VECTORS: dict[str, list[str]] = json.loads((DOCS / "protocol-vectors.json").read_text())


def table_under(heading: str) -> list[list[str]]:
    """The rows of the first table after a heading, without its head."""
    text = PAGE[PAGE.index(f"\n## {heading}\n") :]
    rows = re.findall(r"^\|(.+)\|$", text.split("\n## ", 2)[1], re.M)
    return [[cell.strip() for cell in row.split("|")] for row in rows[2:]]


def field_text(cls: type[Any]) -> str:
    """The fields of a message as the page writes them."""
    return ", ".join(f"{f.name}: {_type_text(str(f.type))}" for f in dataclasses.fields(cls))


def _type_text(hint: str) -> str:
    hint = re.sub(r"tuple\[(.+), \.\.\.\]", lambda found: f"list of {_type_text(found[1])}", hint)
    names = {"Ints": "column", "Tensors": "arrays", "Numbers": "map", "dict[str, float]": "map of float"}
    return names.get(hint, {"ErrorCode": "str"}.get(hint, hint))


def test_the_table_of_messages_is_the_code() -> None:
    told = {row[0]: row[1:4] for row in table_under("Messages")}
    assert told == {
        str(number): [cls.__name__, ", ".join(sorted(m.SENDERS[cls])), field_text(cls)]
        for number, cls in sorted(m.MESSAGES.items())
    }


@pytest.mark.parametrize("cls", [m.Member, m.MemberStatus, m.Placement])
def test_the_table_of_records_is_the_code(cls: type[Any]) -> None:
    assert dict(table_under("Records"))[cls.__name__] == field_text(cls)


def test_the_table_of_error_codes_is_the_code() -> None:
    told = {row[0]: row[1] for row in table_under("Errors")}
    assert told == {code: m.error_class(code).__name__ for code in typing.get_args(m.ErrorCode)}


def test_the_table_of_dtypes_is_the_code() -> None:
    told = {int(row[0]): row[1] for row in table_under("Arrays")}
    assert told == {code: dtype.name for code, dtype in codec.DTYPES.items()}


def test_the_limits_are_the_code() -> None:
    told = {row[0]: int(row[1].replace(",", "")) for row in table_under("Limits")}
    assert told == {
        "bytes of a header": codec.MAX_HEADER,
        "bytes of an array in the common frame": codec.PACKED,
        "bytes of the common frame": codec.MAX_PACK_NBYTES,
        "bytes of another frame": codec.MAX_FRAME_NBYTES,
        "frames of a message": codec.MAX_FRAMES,
        "items of a list": codec.MAX_LIST,
        "items of a map": codec.MAX_MAP,
        "bytes of a text": codec.MAX_TEXT,
        "rounds of a slice ahead of its clock": m.MAX_ROUNDS_AHEAD,
    }


EXAMPLES: dict[str, m.Message] = {
    "hello": m.Hello(1, m.VERSION, "job", "worker", m.ANY_RANK, 0, 2**40, ""),
    "init": m.Init(2, ("s:w",), ("float32",), ((2, 3),), (0,), (6,), [np.arange(6, dtype=np.float32)]),
    "push, two dtypes": m.Push(
        3, 1, 1, (m.key_number("s:w"), m.key_number("i:3")), (0, 0), (0, 7), (5,),
        [np.array([1, 2, 3], np.uint8), np.array([0.5, -1], np.float64)],
    ),
    "pull": m.Pull(4, (m.key_number("s:w"),), (0,), (1,)),
    "values, empty": m.Values(4, (), []),
    "error": m.Error(-1, "protocol", "a header that is not msgpack: ValueError"),
    "view": m.View(1, 0, 1, 2, 1, (m.Member("server", 0, 0, 5, "tcp://127.0.0.1:4000"),)),
}  # fmt: skip


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_test_vectors_are_the_code(name: str) -> None:
    frames = [bytes(frame) for frame in encode(EXAMPLES[name])]
    assert [frame.hex() for frame in frames] == VECTORS[name]
    assert type(decode(frames)) is type(EXAMPLES[name])


def test_there_are_no_other_test_vectors() -> None:
    assert list(VECTORS) == list(EXAMPLES)


@pytest.mark.parametrize("cls", m.MESSAGES.values(), ids=lambda cls: cls.__name__)
def test_the_page_says_what_the_docstring_says(cls: type[Any]) -> None:
    assert f"**{cls.__name__}.** {' '.join((cls.__doc__ or '').split())}\n" in PAGE
