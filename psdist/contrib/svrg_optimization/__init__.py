"""`mx.contrib.svrg_optimization`: steps along gradients whose variance is reduced (SVRG)."""

from . import svrg_module, svrg_optimizer

__all__ = ["svrg_module", "svrg_optimizer"]
