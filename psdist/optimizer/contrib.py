"""`mx.optimizer.contrib`: what MXNet kept apart of its optimizers."""

from .classes import GroupAdaGrad

__all__ = ["GroupAdaGrad"]
