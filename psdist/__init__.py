"""psdist: a parameter server in Python, with MXNet's classic API."""

__version__ = "0.1.0"
