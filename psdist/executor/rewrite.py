"""Changes to a program's steps, before they are taken apart."""

from __future__ import annotations

from .program import Program

__all__ = ["rewrite"]


def rewrite(program: Program, is_train: bool) -> tuple[Program, list[str]]:
    """The program with operators merged and moved, and what was done, in words."""
    return program, []
