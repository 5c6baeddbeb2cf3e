"""Small durable files: created exclusively or replaced whole, never half-written."""

from __future__ import annotations

import hashlib
import os
import uuid
from pathlib import Path

from synth_pipeline.errors import StorageError


def create(path: Path, data: bytes, *, private: bool = False) -> None:
    """Creates `path` with all of `data`, durably; `private`: readable by the owner alone.

    Raises:
        FileExistsError: somebody else has created it.
    """
    scratch = _scratch(path, data, private)
    try:
        os.link(scratch, path)  # atomic and exclusive: a reader sees the whole file or none
    finally:
        scratch.unlink(missing_ok=True)
    sync_folder(path.parent)


def replace(path: Path, data: bytes) -> None:
    """Replaces `path` whole, durably."""
    os.replace(_scratch(path, data), path)
    sync_folder(path.parent)


def sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def safe_component(name: str) -> str:
    """`name` as one path component.

    Raises:
        StorageError: it would leave its folder, or hide in it.
    """
    if not name or name.startswith(".") or any(sign in name for sign in "/\\\0") or len(name.encode()) > 200:
        raise StorageError(f"{name[:80]!r} cannot be a folder name", fix="use letters, digits, '-', '_' and '.'")
    return name


def _scratch(path: Path, data: bytes, private: bool = False) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with open(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if private else 0o666), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        scratch.unlink(missing_ok=True)
        raise
    return scratch
