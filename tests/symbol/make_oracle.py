"""Writes `oracle.json`, MXNet's answers to `cases.py`. Run with a Python that has MXNet 1.9.1:

python tests/symbol/make_oracle.py
"""

import json
import warnings
from pathlib import Path

import mxnet as mx
import numpy as np
from cases import BLOCKS, CASES, answer

warnings.simplefilter("ignore")
answers = {}
for case in (*CASES, *BLOCKS):
    answers[case] = answer(case, mx, np)
    if isinstance(answers[case], dict):
        answers[case].pop("says", None)
Path(__file__).with_name("oracle.json").write_text(
    "{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in answers.items()) + "\n}\n"
)
print(len(answers), "answers")
