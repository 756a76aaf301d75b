"""Writes `oracle.json`, MXNet's answers to `cases.py`. Run with a Python that has MXNet 1.9.1:

python tests/ndarray/make_oracle.py
"""

import json
import warnings
from pathlib import Path

import mxnet as mx
import numpy as np
from cases import GROUPS, answer

warnings.simplefilter("ignore")
answers = {}
for _group, cases in GROUPS.items():
    for case in cases:
        found = answer(case, mx, np)
        found.pop("says", None)
        answers[case] = found
Path(__file__).with_name("oracle.json").write_text(
    "{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in answers.items()) + "\n}\n"
)
print(len(answers), "answers")
