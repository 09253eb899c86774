"""Where a face set lies: in a folder, or in any store that fsspec reads (S3, GCS, Azure, HTTP, ...), by its URL.

Pictures of a store are read range by range, those of a batch together; with a cache folder each shard is brought there
whole when it is first touched. No handle or connection is shared between processes: each opens its own.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from facecycle.data.files import disk_space
from facecycle.errors import FaceCycleError

MOST_OPEN = 256  # a process may hold about 1,000 files open

Part = tuple[str, int, int]
"""Some bytes of a file: its name below the root, where they begin, and how many they are."""


@runtime_checkable
class Store(Protocol):
    """A tree of files that is only read; names are relative, with "/". Pickled, it opens itself anew.

    Attributes:
        root: the folder, or the URL.
    """

    root: Path | str

    def read(self, name: str) -> bytes:
        """A whole file; raises FileNotFoundError or NotADirectoryError where there is none."""
        ...

    def sizes(self, names: Sequence[str]) -> list[int | None]:
        """Bytes of each file; None where there is none."""
        ...

    def parts(self, wanted: Sequence[Part]) -> list[bytes]:
        """Parts of files, in the order asked for."""
        ...


def is_url(path: str | Path) -> bool:
    """Whether ``path`` is for fsspec: ``PROTOCOL://...``, or several chained by ``::``."""
    return isinstance(path, str) and re.match(r"[A-Za-z][\w+.-]*(://|::)", path) is not None


def open_store(path: str | Path) -> Store:
    """The store at a folder or URL; nothing is read yet."""
    return UrlStore(path) if isinstance(path, str) and is_url(path) else Folder(Path(path))


class Folder:
    """A folder on a disk of this machine."""

    def __init__(self, root: Path) -> None:
        self.root: Path | str = root
        self._files: dict[str, int] = {}

    def read(self, name: str) -> bytes:
        return Path(self.root, name).read_bytes()

    def sizes(self, names: Sequence[str]) -> list[int | None]:
        files = [Path(self.root, name) for name in names]
        return [file.stat().st_size if file.exists() else None for file in files]

    def parts(self, wanted: Sequence[Part]) -> list[bytes]:
        # pread leaves no file position behind, so that forked workers can share the handle.
        return [os.pread(self._handle(name), nbytes, offset) for name, offset, nbytes in wanted]

    def _handle(self, name: str) -> int:
        if name not in self._files:
            if len(self._files) >= MOST_OPEN:
                os.close(self._files.pop(next(iter(self._files))))
            file = Path(self.root, name)
            try:
                self._files[name] = os.open(file, os.O_RDONLY)
            except OSError as error:  # said here: of another process's OSError only its words come back
                raise FaceCycleError(
                    f"{file}: cannot be read ({error.strerror}); copy the face set again, or see who may read it"
                ) from None
        return self._files[name]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_files": {}}  # handles mean nothing in another process

    def __del__(self) -> None:
        for handle in self.__dict__.get("_files", {}).values():
            os.close(handle)


class UrlStore:
    """A place that fsspec reads; credentials and options are those of its own configuration and of the environment.

    Args:
        url: such as ``s3://bucket/faces``.
    """

    def __init__(self, url: str) -> None:
        self.root: Path | str = url
        self._opened: tuple[int, Any, str] | None = None

    def read(self, name: str) -> bytes:
        files, path = self._files()
        with self._problems(name):
            return files.cat_file(f"{path}/{name}")

    def sizes(self, names: Sequence[str]) -> list[int | None]:
        files, path = self._files()
        listed: dict[str, int | None] = {}
        with self._problems(""):
            for folder in {os.path.dirname(name) for name in names}:
                with suppress(Exception):  # nothing is listed, or not to everybody: one by one, whose errors are told
                    found = files.ls(f"{path}/{folder}", detail=True)
                    listed |= {f"{folder}/{os.path.basename(entry['name'])}": entry["size"] for entry in found}
            return [listed[name] if listed.get(name) is not None else self._size(name) for name in names]

    def parts(self, wanted: Sequence[Part]) -> list[bytes]:
        files, path = self._files()
        names = [f"{path}/{name}" for name, _, _ in wanted]
        starts = [offset for _, offset, _ in wanted]
        ends = [offset + nbytes for _, offset, nbytes in wanted]
        with self._problems(""):
            found = files.cat_ranges(names, starts, ends, on_error="return") if wanted else []
        for (name, _, nbytes), data in zip(wanted, found, strict=True):
            with self._problems(name):
                if isinstance(data, FileNotFoundError):
                    raise FaceCycleError(f"{self.root}/{name}: missing; copy the face set again")
                if isinstance(data, Exception):
                    raise data
                if len(data) != nbytes:
                    raise FaceCycleError(
                        f"{self.root}/{name}: {len(data)} bytes came of {nbytes} asked for: cut short, or on a server "
                        "that cannot give parts of a file; copy it again, or bring whole shards: data.cache=FOLDER"
                    )
        return found

    def fetch(self, name: str, file: Path) -> None:
        """Copy a file of the store to ``file``."""
        files, path = self._files()
        with self._problems(name):
            files.get_file(f"{path}/{name}", str(file))

    def _size(self, name: str) -> int | None:
        files, path = self._files()
        with suppress(FileNotFoundError):
            return files.size(f"{path}/{name}")
        return None

    def _files(self) -> tuple[Any, str]:
        """The file system, and the root within it; opened once in each process."""
        if self._opened is None or self._opened[0] != os.getpid():
            from fsspec.core import url_to_fs

            try:
                files, path = url_to_fs(str(self.root))
            except ImportError as error:
                raise FaceCycleError(f"{self.root}: a package is missing: {error}") from None
            except ValueError as error:
                raise FaceCycleError(
                    f"{self.root}: {error}; begin it with a protocol that fsspec.available_protocols() lists"
                ) from None
            except Exception as error:  # an archive that is none, a server that is not there
                raise FaceCycleError(
                    f"{self.root}: cannot be opened ({type(error).__name__}: {error}); see to the address"
                ) from error
            self._opened = os.getpid(), files, path.rstrip("/")
        return self._opened[1], self._opened[2]

    @contextmanager
    def _problems(self, name: str) -> Iterator[None]:
        """Whatever a store raises, but for a file that is not there, becomes one line."""
        try:
            yield
        except (FileNotFoundError, NotADirectoryError, FaceCycleError):
            raise
        except Exception as error:  # every kind of store has its own
            reason = (str(error).splitlines() or [""])[0]
            raise FaceCycleError(
                f"{self.root}/{name}: cannot be read ({type(error).__name__}: {reason}); "
                "see to the address, the network and your credentials"
            ) from error

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}  # connections mean nothing in another process


class CachedStore:
    """A store whose files are kept in a folder here once a part of them was asked for.

    Several processes may share the folder: one brings a file, the others wait for it.

    Args:
        store: where they come from.
        folder: where they are kept; made if absent.
    """

    def __init__(self, store: UrlStore, folder: Path) -> None:
        self.root: Path | str = store.root
        self._store, self._kept = store, Folder(folder)

    def read(self, name: str) -> bytes:
        return self._store.read(name)

    def sizes(self, names: Sequence[str]) -> list[int | None]:
        return self._store.sizes(names)

    def parts(self, wanted: Sequence[Part]) -> list[bytes]:
        for name in dict.fromkeys(name for name, _, _ in wanted):
            self._bring(name)
        return self._kept.parts(wanted)

    def _bring(self, name: str) -> None:
        import fcntl  # a folder without a cache can be read where there is none

        file = Path(self._kept.root, name)
        if file.exists():
            return
        with disk_space(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            with open(file.with_name(file.name + ".lock"), "w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if file.exists():  # another process has brought it meanwhile
                    return
                partial = file.with_name(file.name + ".partial")
                self._store.fetch(name, partial)
                expected, got = self._store.sizes([name])[0], partial.stat().st_size
                if expected not in (None, got):
                    raise FaceCycleError(f"{self.root}/{name}: {got} of {expected} bytes came; run the command again")
                os.replace(partial, file)
