"""Where psdist differs from MXNet 1.9.1, and why. What is listed here is not compared."""

# not asked: MXNet has no such operator on a CPU, or it aborts, refuses, or errs
UNASKED = {
    "_contrib_count_sketch": "is for GPUs only",
    "_contrib_fft": "is for GPUs only",
    "_contrib_ifft": "is for GPUs only",
    "_contrib_group_adagrad_update": "takes a row_sparse gradient only",
    "_copyto": "is not for graphs",
    "_image_flip_left_right": "leaves the middle column of an odd width at 0, and its gradient is not flipped",
    "_image_flip_top_bottom": "its gradient is not flipped",
    "_linspace": "takes other parameters inside than it declares",
    "_scatter_set_nd": "wants its output to be its input, which only NDArray's indexing arranges",
    "_sparse_adagrad_update": "takes row_sparse arrays only",
    "_sparse_retain": "takes a row_sparse array only",
    "_square_sum": "for row_sparse arrays only",
    "_zeros_without_dtype": "wants a graph around it to settle its dtype",
    "amp_multicast": "refuses float64, and float16 beside float32, on this build's CPU",
}

# a wider tolerance
TOLERANCE = {
    "_multi_mp_lamb_update": 50.0,
    "lamb_update_phase1": 50.0,  # small differences of float32
    "_random_pdf_generalized_negative_binomial": 10.0,  # its digamma is of float32
    "_random_pdf_negative_binomial": 10.0,
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
MISSING = {
    "_set_value": "fills an array given as `out`: NDArray's assignment",
    "_contrib_BatchNormWithReLU": "what one library's graphs are rewritten into",
    "_contrib_DeformablePSROIPooling": "not yet",
    "_contrib_hawkesll": "not yet",
    **dict.fromkeys(
        (
            "_image_adjust_lighting",
            "_image_random_brightness",
            "_image_random_color_jitter",
            "_image_random_contrast",
            "_image_random_flip_left_right",
            "_image_random_flip_top_bottom",
            "_image_random_hue",
            "_image_random_lighting",
            "_image_random_saturation",
            "_image_resize",
        ),
        "mx.image's augmenters and mx.image.imresize do it",
    ),
}

# operators whose arrays are named otherwise
ARRAYS = dict.fromkeys(
    ("BatchNorm_v1", "IdentityAttachKLSparseReg"),
    "MXNet's listing leaves out the auxiliary states, which it has",
)

# parameters that only one of the two has, or with another default
PARAMETERS = {
    "Pooling_v1": dict.fromkeys(
        ("pooling_convention", "stride", "pad", "cudnn_off", "p_value", "count_include_pad", "layout"),
        "is Pooling, in another order",
    ),
    "_contrib_SparseEmbedding": dict.fromkeys(
        ("deterministic", "sparse_grad"), "its gradient is sparse always; the parameter is that of MXNet 1.4"
    ),
    "_image_normalize": dict.fromkeys(
        ("mean", "std"), "MXNet's default has four numbers, for as many channels; here one"
    ),
    "_linalg_potrf": {"lower": "MXNet takes it without declaring it"},
    "_linalg_potri": {"lower": "MXNet takes it without declaring it"},
    "smooth_l1": {"scalar": "MXNet declares no default, and takes 1"},
}
