"""Which of MXNet's operators psdist means to have, and which are still missing.

python tests/parity/scope.py        prints the coverage; `make parity` runs it after the comparison
"""

import gzip
import json
import sys
from pathlib import Path

ORACLE = Path(__file__).parent / "oracle"

# Not of the classic API: other packages' operators, quantised ones, graphs of DGL, those that only the library itself calls.
OUTSIDE = (
    "_np", "_npi", "_npx", "_sparse__contrib", "_backward", "_cv", "_imdecode", "_sg_", "_TensorRT", "_quantized",
    "_CachedOp", "_CustomFunction", "_NDArray", "_Native", "_NoGradient", "_CrossDeviceCopy", "_broadcast_backward",
    "_split_v2_backward", "_contrib_backward", "_contrib_quant", "_contrib_dequant", "_contrib_requant",
    "_contrib_calibrate", "_contrib_intgemm", "_contrib_dgl", "_contrib_tvm", "_contrib_bert", "_contrib_sldwin",
)  # fmt: skip
# What Python answers for: `psdist.operator`, `mx.sym.contrib` and `mx.nd.contrib`, whose functions are more than one row.
FUNCTIONS = (
    "Custom",
    "_foreach",
    "_while_loop",
    "_cond",
    "_contrib_boolean_mask",
    "_contrib_getnnz",
    "_contrib_edge_id",
)


def signatures():
    """name -> [own name, [[argument, type], ...], parameter that counts the arrays], of all of MXNet's operators."""
    with gzip.open(ORACLE / "signatures.json.gz", "rt") as f:
        return json.load(f)


def wanted():
    """Every name by which a script may call a classic operator."""
    return {n: s for n, s in signatures().items() if not n.startswith(OUTSIDE)}


def missing():
    """Those that psdist does not answer to."""
    import psdist.ops

    return sorted(n for n in wanted() if psdist.ops.find(n) is None and n not in FUNCTIONS)


def report():
    with gzip.open(ORACLE / "answers.jsonl.gz", "rt") as f:
        answers = {r["op"]: len(r["cases"]) for r in map(json.loads, f)}
    names, gone = wanted(), missing()
    print(f"{len(names) - len(gone)} of {len(names)} classic names of MXNet 1.9.1 are operators of psdist")
    print(f"{sum(answers.values())} cases of {sum(1 for n in answers.values() if n)} operators are compared")
    few = sorted(n for n, count in answers.items() if count < 50)
    print(f"fewer than 50 cases (no inputs, or refused by the oracle): {', '.join(few)}")
    print(f"missing: {', '.join(gone) or 'none'}")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    report()
