"""The version of MXNet whose classic API this is, for scripts that ask before they use something."""

__all__ = ["__version__", "find_include_path", "find_lib_path"]

__version__ = "1.9.1"


def find_lib_path() -> list[str]:
    """Shared libraries of MXNet: none, psdist is Python."""
    return []


def find_include_path() -> str:
    """The folder of C headers: none."""
    return ""
