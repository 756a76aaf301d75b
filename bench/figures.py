"""What the pages of measurements have in common: their pictures' style, their marks, and the machine's load."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

COLOURS = ("#c03a2b", "#2464a4", "#2e8b57", "#d08a1d", "#7d4ea0", "#5a5a5a", "#1a9c9c", "#b0568c", "#8a6d3b")
_START, _END = "<!-- table -->\n", "<!-- end -->"


def load() -> str:
    """A sentence about the machine, to be asked for before anything is measured."""
    one, five, _ = os.getloadavg()
    return (
        f"{os.cpu_count()} cores, Linux {platform.release().partition('-')[0]}; load before the run {one:.1f} "
        f"(one minute), {five:.1f} (five), of which a quiet machine has less than 0.3."
    )


def put(page: Path, text: str) -> None:
    """Put a table between the marks of a page, `<!-- table -->` and `<!-- end -->`."""
    before, start, rest = page.read_text().partition(_START)
    if not start or _END not in rest:
        raise SystemExit(f"{page} has no marks {_START.strip()} and {_END}")
    page.write_text(f"{before}{_START}{text}{_END}{rest.partition(_END)[2]}")


def pyplot() -> Any:
    """matplotlib, in this project's style. Raises SystemExit without it."""
    try:
        import matplotlib as mpl
    except ImportError:
        raise SystemExit("pictures need matplotlib: pip install 'psdist[plot]'") from None
    mpl.use("svg")
    mpl.rcParams.update(
        {
            "svg.hashsalt": "psdist",  # the same numbers give the same file
            "axes.prop_cycle": mpl.cycler(color=COLOURS),
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.alpha": 0.3,
            "font.size": 9,
            "legend.frameon": False,
            "lines.markersize": 4,
        }
    )
    from matplotlib import pyplot as plt

    return plt


def save(figure: Any, path: Path) -> None:
    figure.savefig(path, metadata={"Date": None})
