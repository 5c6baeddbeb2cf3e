"""Where releases lie: a local folder or any fsspec location, with the few durable operations that publishing needs.

Everything rests on creating a name that must not exist yet. A store that cannot do that cannot keep two publishers
apart, and is refused.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Protocol

from synth_pipeline.errors import StorageError
from synth_pipeline.records.files import create, replace, sync_folder
from synth_pipeline.records.home import project_root

CLAIM = ".claim"
MANIFEST = "manifest.json"


class Store(Protocol):
    """Paths are relative to the store, with forward slashes."""

    where: str

    def location(self, path: str) -> str:
        """The path as consumers name it."""

    def read(self, path: str) -> bytes:
        """The whole file, or FileNotFoundError."""

    def open(self, path: str) -> IO[bytes]:
        """The file as a stream, or FileNotFoundError."""

    def exists(self, path: str) -> bool: ...

    def names(self, path: str) -> list[str]:
        """What lies directly in a folder, sorted; nothing when there is no such folder."""

    def files(self, path: str) -> dict[str, int]:
        """Path relative to `path` → bytes, of all files below it."""

    def create(self, path: str, data: bytes) -> None:
        """Creates a file whole, or FileExistsError."""

    def writing(self, path: str) -> Any:
        """Context of a local path to write a large file to; it lies in the store when the context has ended."""

    def replace(self, path: str, data: bytes) -> None: ...

    def delete(self, path: str) -> None:
        """Removes a file or a folder with all that it holds; nothing happens when there is none."""

    def settle(self, path: str) -> None:
        """Returns when all folder entries below `path` would survive a power loss."""

    def tidy(self, folder: str) -> None:
        """Removes what a publisher that was killed right after its commit has left in a committed folder."""

    def claim(self, folder: str) -> Any:
        """Context: whether `folder` is ours alone to fill. What is not committed when it ends is removed."""

    def lock(self, path: str) -> Any:
        """Context: one process at a time, where the store can; see `Line.point` for where it cannot."""

    def abandoned(self, folder: str, older_than: float) -> bool:
        """Whether an uncommitted folder's publisher is gone (or, where nobody can know, older than so many seconds)."""

    def sweep(self, folder: str) -> None:
        """Removes an abandoned folder, unless somebody has taken it over meanwhile."""


def default_store() -> str:
    """`$SYNTH_STORE`, else the project's `data/releases`, else `data/releases` here."""
    if named := os.environ.get("SYNTH_STORE"):
        return named
    return str((project_root() or Path.cwd()) / "data" / "releases")


def open_store(where: str | Path | None = None) -> Store:
    """The store at a folder or URI; the default one if not given."""
    text = str(where) if where is not None else default_store()
    if text.startswith("file://"):
        text = text.removeprefix("file://")
    return RemoteStore(text) if "://" in text else LocalStore(text)


class LocalStore:
    """A folder: names are created by link(2), publishers are told apart by flock(2), which no crash leaves behind."""

    def __init__(self, where: str) -> None:
        self.root = Path(where).expanduser().absolute()
        self.where = str(self.root)

    def location(self, path: str) -> str:
        return str(self.root / path)

    def read(self, path: str) -> bytes:
        return (self.root / path).read_bytes()

    def open(self, path: str) -> IO[bytes]:
        return open(self.root / path, "rb")

    def exists(self, path: str) -> bool:
        return (self.root / path).exists()

    def names(self, path: str) -> list[str]:
        try:
            return sorted(os.listdir(self.root / path))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def files(self, path: str) -> dict[str, int]:
        base = self.root / path
        found = (path for path in sorted(base.rglob("*")) if path.is_symlink() or not path.is_dir())
        return {path.relative_to(base).as_posix(): path.lstat().st_size for path in found}

    def create(self, path: str, data: bytes) -> None:
        create(self.root / path, data)

    @contextmanager
    def writing(self, path: str) -> Iterator[Path]:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        yield target  # inside a claimed folder nobody reads yet

    def replace(self, path: str, data: bytes) -> None:
        replace(self.root / path, data)

    def delete(self, path: str) -> None:
        target = self.root / path
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target, ignore_errors=True)
        else:
            target.unlink(missing_ok=True)

    def settle(self, path: str) -> None:
        for folder, _, _ in os.walk(self.root / path):
            sync_folder(Path(folder))
        above = (self.root / path).parent
        while above.is_relative_to(self.root):
            sync_folder(above)
            above = above.parent

    def tidy(self, folder: str) -> None:
        for path in ((self.root / folder) / CLAIM, *(self.root / folder).glob(f".{MANIFEST}.*")):
            path.unlink(missing_ok=True)

    @contextmanager
    def claim(self, folder: str) -> Iterator[bool]:
        base = self.root / folder
        if (base / MANIFEST).exists():
            yield False
            return
        with self._flock(base / CLAIM) as held:
            if not held or (base / MANIFEST).exists():
                yield False
                return
            for name in os.listdir(base):  # what a killed publisher has left
                if name != CLAIM:
                    self.delete(f"{folder}/{name}")
            try:
                yield True
            finally:
                if (base / MANIFEST).exists():
                    (base / CLAIM).unlink(missing_ok=True)
                else:
                    self.delete(folder)

    @contextmanager
    def lock(self, path: str) -> Iterator[None]:
        with self._flock(self.root / path, wait=True):
            yield

    def abandoned(self, folder: str, older_than: float) -> bool:
        with self._flock(self.root / folder / CLAIM, make=False) as held:
            return held

    def sweep(self, folder: str) -> None:
        with self.claim(folder):
            pass  # whoever claims a folder and commits nothing leaves nothing

    @contextmanager
    def _flock(self, path: Path, *, wait: bool = False, make: bool = True) -> Iterator[bool]:
        import fcntl

        if make:
            path.parent.mkdir(parents=True, exist_ok=True)
        elif not path.exists():
            yield True
            return
        with open(path, "a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
                return
            try:  # a holder that gave up has removed its file: a lock on what has no name keeps nobody out
                same = os.stat(path).st_ino == os.fstat(file.fileno()).st_ino
            except FileNotFoundError:
                same = False
            yield same


class RemoteStore:
    """Any fsspec filesystem whose exclusive create (mode "xb") really is exclusive."""

    def __init__(self, where: str) -> None:
        import fsspec

        try:
            self.fs, self.base = fsspec.core.url_to_fs(where)
        except (ImportError, ValueError) as error:
            raise StorageError(f"this kind of store cannot be opened: {error}", where=where) from error
        self.where = where.rstrip("/")
        self._probed = False

    def location(self, path: str) -> str:
        return f"{self.where}/{path}".rstrip("/")

    def read(self, path: str) -> bytes:
        with self.open(path) as file:
            return file.read()

    def open(self, path: str) -> IO[bytes]:
        stream: IO[bytes] = self.fs.open(self.full(path), "rb")
        return stream

    def exists(self, path: str) -> bool:
        return bool(self.fs.exists(self.full(path)))

    def names(self, path: str) -> list[str]:
        self.fs.invalidate_cache()
        try:
            found = self.fs.ls(self.full(path), detail=False)
        except FileNotFoundError:
            return []
        return sorted({name for entry in found if (name := str(entry).rstrip("/").rsplit("/", 1)[-1])})

    def files(self, path: str) -> dict[str, int]:
        self.fs.invalidate_cache()
        base = self.full(path).rstrip("/")
        try:
            found = self.fs.find(base, detail=True)
        except FileNotFoundError:
            return {}
        return {name[len(base) :].lstrip("/"): int(note["size"] or 0) for name, note in sorted(found.items())}

    def create(self, path: str, data: bytes) -> None:
        self._probe()
        self._create(path, data)

    @contextmanager
    def writing(self, path: str) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="synth-") as scratch:
            local = Path(scratch) / Path(path).name
            yield local
            self._parent(path)
            with open(local, "rb") as source, self.fs.open(self.full(path), "wb") as target:
                shutil.copyfileobj(source, target, 8 << 20)

    def replace(self, path: str, data: bytes) -> None:
        self._parent(path)
        with self.fs.open(self.full(path), "wb") as file:
            file.write(data)

    def delete(self, path: str) -> None:
        with suppress(FileNotFoundError):
            self.fs.rm(self.full(path), recursive=True)

    def settle(self, path: str) -> None:
        return None  # an object that was written stays

    def tidy(self, folder: str) -> None:
        self.delete(f"{folder}/{CLAIM}")

    @contextmanager
    def claim(self, folder: str) -> Iterator[bool]:
        if self.exists(f"{folder}/{MANIFEST}"):
            yield False
            return
        try:
            self.create(f"{folder}/{CLAIM}", str(time.time()).encode())
        except FileExistsError:
            yield False
            return
        try:
            # a publisher that commits between the look and the claim has removed its own claim by then
            ours = not self.exists(f"{folder}/{MANIFEST}")
            for name in self.names(folder) if ours else ():
                if name != CLAIM:
                    self.delete(f"{folder}/{name}")
            yield ours
        finally:
            self.delete(f"{folder}/{CLAIM}" if self.exists(f"{folder}/{MANIFEST}") else folder)

    @contextmanager
    def lock(self, path: str) -> Iterator[None]:
        yield

    def abandoned(self, folder: str, older_than: float) -> bool:
        try:
            return time.time() - float(self.read(f"{folder}/{CLAIM}")) > older_than
        except (FileNotFoundError, ValueError):
            return True

    def sweep(self, folder: str) -> None:
        if not self.exists(f"{folder}/{MANIFEST}"):
            self.delete(folder)

    def _probe(self) -> None:
        """Refuses a store that lets a second create of the same name through."""
        if self._probed:
            return
        name = f".probe-{uuid.uuid4().hex}"
        try:
            self._create(name, b"1")
            try:
                self._create(name, b"2")
            except FileExistsError:
                self._probed = True
        except (OSError, ValueError, NotImplementedError) as error:
            raise StorageError(f"this store cannot be written: {error}", where=self.where) from error
        finally:
            self.delete(name)
        if not self._probed:
            raise StorageError(
                "this store cannot create a name exclusively, so two publishers could mix their files",
                where=self.where,
                kept="nothing was published",
                fix="publish to a local folder or to S3, then copy",
            )

    def _create(self, path: str, data: bytes) -> None:
        self._parent(path)
        with self.fs.open(self.full(path), "xb") as file:
            file.write(data)

    def _parent(self, path: str) -> None:
        with suppress(OSError, NotImplementedError):
            self.fs.makedirs(self.full(path).rsplit("/", 1)[0], exist_ok=True)

    def full(self, path: str) -> str:
        return f"{self.base.rstrip('/')}/{path}".rstrip("/")
