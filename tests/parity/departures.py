"""Where psdist differs from MXNet 1.9.1, and why. What is listed here is not compared."""

# not asked: MXNet has no such operator on a CPU, or it aborts, or refuses
UNASKED = {
    "_linspace": "takes other parameters inside than it declares",
    "_scatter_set_nd": "wants its output to be its input, which only NDArray's indexing arranges",
    "_sparse_retain": "takes a row_sparse array only",
    "_square_sum": "for row_sparse arrays only",
    "amp_multicast": "refuses float64, and float16 beside float32, on this build's CPU",
}

# a wider tolerance
TOLERANCE = {
    "lamb_update_phase1": 50.0,  # small differences of float32
    "softmax": 8.0,  # float16 is rounded at other places
}

# a gradient (or that of one input) that is not compared
NO_GRADIENT: dict[object, str] = {}

# an input that one of the two writes
WRITTEN = {
    ("_adamw_update", 1): "MXNet rescales the caller's gradient in place",
    ("_mp_adamw_update", 1): "MXNet rescales the caller's gradient in place",
    (
        "mp_lamb_update_phase2",
        4,
    ): "MXNet leaves the float32 weight as it was, so that training would stand still",
    ("mp_nag_mom_update", 2): "MXNet decays by the new weight in the momentum and by the old one elsewhere",
}

# examples, by operator and parameters
EXAMPLES = {
    ("LeakyReLU", "selu"): "MXNet's gradient of selu is not its derivative below 0",
    ("SoftmaxOutput", "out_grad"): "MXNet multiplies by the output instead of by the head's gradient",
}

# classic names that psdist does not have
MISSING: dict[str, str] = {}

# operators whose arrays are named otherwise
ARRAYS: dict[str, str] = {}

# parameters that only one of the two has, or with another default
PARAMETERS: dict[str, dict[str, str]] = {}
