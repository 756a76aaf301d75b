"""Folders that are not on a disk of this machine, through fsspec: `s3://bucket/job`, `gs://...`, `memory://...`.

What snapshot.py does with paths, and no more. An object store has no rename to rely on, and needs none: an object
is there when all of it was written, the manifest comes last, and whoever reads checks every digest. `file://`
is the disk itself, without fsspec.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit

from psdist.errors import ConfigError

__all__ = ["Folder", "Remote", "folder_at"]


def folder_at(where: str | Path) -> Folder:
    """The folder of a path or a URL. Raises ConfigError for one that nothing here can read."""
    text = str(where)
    if "://" not in text:
        return Path(where)
    if text.startswith("file://"):
        return Path(unquote(urlsplit(text).path))
    try:
        import fsspec  # type: ignore[import-not-found, import-untyped, unused-ignore]  # optional, ships no types
    except ImportError:
        raise ConfigError(f"{text}: object stores need fsspec: pip install 'psdist[remote]'") from None
    try:
        fs, path = fsspec.core.url_to_fs(text, use_listings_cache=False)
    except (ImportError, ValueError) as e:
        raise ConfigError(f"{text}: {e}") from e
    return Remote(fs, path.rstrip("/"), text.partition("://")[0])


class Remote:
    """A path in an object store. What fails raises OSError, whatever the store's client calls it."""

    def __init__(self, fs: Any, path: str, protocol: str) -> None:
        self._fs, self._path, self._protocol = fs, path, protocol

    def __str__(self) -> str:
        return f"{self._protocol}://{self._path.lstrip('/')}"

    def __truediv__(self, name: str) -> Remote:
        return Remote(self._fs, f"{self._path}/{name}", self._protocol)

    def __lt__(self, other: Remote) -> bool:
        return self._path < other._path

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Remote) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self._path.rpartition("/")[2]

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Errors name the path."""
        try:
            yield
        except FileNotFoundError as e:
            raise FileNotFoundError(f"{self}: no such object") from e
        except Exception as e:  # of the store's own client, whatever that is
            raise OSError(f"{self}: {type(e).__name__}: {e}") from e

    def exists(self) -> bool:
        """Whether there is an object."""
        with self._told():
            return bool(self._fs.exists(self._path))

    def children(self) -> list[Remote]:
        """What lies in the folder."""
        with self._told():
            try:
                found = self._fs.ls(self._path, detail=False)
            except FileNotFoundError:  # nothing was ever written there
                return []
        return [self / one.rstrip("/").rpartition("/")[2] for one in found]

    def nbytes(self) -> int:
        """The object's size."""
        with self._told():
            return int(self._fs.size(self._path))

    def read_bytes(self) -> bytes:
        """All of the object."""
        with self._told():
            return bytes(self._fs.cat_file(self._path))

    def last_bytes(self, num: int) -> bytes:
        """The end of the object."""
        with self._told():
            return bytes(self._fs.cat_file(self._path, start=-num))

    def open(self) -> BinaryIO:
        """The object, to read."""
        with self._told():
            file: BinaryIO = self._fs.open(self._path, "rb")
            return file

    @contextlib.contextmanager
    def writing(self) -> Iterator[BinaryIO]:
        """An object that is there when the block has ended well. It is written to a temporary file first: an upload
        that is closed after an error would be an object all the same."""
        with tempfile.NamedTemporaryFile(prefix="psdist-") as file:
            yield file  # type: ignore[misc]  # quacks like one
            file.flush()
            with self._told():
                self._fs.put_file(file.name, self._path)

    def remove(self) -> None:
        """Remove the object, or the folder with all that is in it."""
        with self._told(), contextlib.suppress(FileNotFoundError):
            self._fs.rm(self._path, recursive=True)


Folder = Path | Remote
