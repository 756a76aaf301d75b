"""Run a script that says `import mxnet`, unchanged, with psdist in MXNet's place:

python -m psdist train_mnist.py --network lenet
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

from psdist import compat


def main(argv: list[str]) -> None:
    """Run the script `argv[0]` with its arguments, as `python argv[0] ...` would."""
    if not argv or argv[0] in ("-h", "--help"):
        raise SystemExit(
            "usage: python -m psdist SCRIPT.py [its arguments]; `import mxnet` gives psdist in it"
        )
    script = argv[0]
    if not Path(script).is_file():
        raise SystemExit(f"python -m psdist: there is no file {script!r}")
    compat.install()
    sys.argv = argv
    sys.path[0] = str(Path(script).resolve().parent)
    runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1:])
