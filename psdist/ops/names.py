"""More names of operators: those in `_sparse_`, by which MXNet's `nd.sparse` and `sym.sparse` call the same functions."""

from .registry import also_known_as, find

_SPARSE = """
ElementWiseSum Embedding FullyConnected LinearRegressionOutput LogisticRegressionOutput MAERegressionOutput abs
adam_update add_n arccos arccosh arcsin arcsinh arctan arctanh broadcast_add broadcast_div broadcast_minus broadcast_mul
broadcast_plus broadcast_sub cast_storage cbrt ceil clip concat cos cosh degrees dot elemwise_add elemwise_div
elemwise_mul elemwise_sub exp expm1 fix floor ftrl_update gamma gammaln log log10 log1p log2 make_loss mean negative norm
radians relu rint round rsqrt sgd_mom_update sgd_update sigmoid sign sin sinh slice sqrt square stop_gradient sum tan
tanh trunc where zeros_like
""".split()

for _name in _SPARSE:
    if find(f"_sparse_{_name}") is None:
        also_known_as(_name, f"_sparse_{_name}")
