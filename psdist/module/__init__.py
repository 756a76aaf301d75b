"""Modules: a graph with parameters, trained by batches on one device or several."""

from .base_module import BaseModule
from .module import Module

__all__ = ["BaseModule", "Module"]
