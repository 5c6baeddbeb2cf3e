"""Secrets: one per purpose and source root, from the environment or made on first use (0600); only ids are recorded."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass, field

from synth_pipeline.errors import SpecError, StorageError
from synth_pipeline.records.files import create
from synth_pipeline.records.home import Home


@dataclass(frozen=True)
class Key:
    """A secret and the name by which manifests may speak of it."""

    id: str
    secret: bytes = field(repr=False)


def key(home: Home, purpose: str, root: str) -> Key:
    """The key of `purpose` ("split", "pseudonym") for one source root.

    `$SYNTH_KEY` (at least 16 characters), where set, stands in for the stored master key: so machines can share it.

    Raises:
        StorageError: the key file is damaged or readable by others.
        SpecError: `$SYNTH_KEY` is too short.
    """
    master = _master(home)
    secret = hmac.digest(master, f"{purpose}\x1f{root}".encode(), "sha256")
    return Key(id=f"{purpose}-{hashlib.sha256(secret).hexdigest()[:12]}", secret=secret)


def _master(home: Home) -> bytes:
    if named := os.environ.get("SYNTH_KEY"):
        if len(named) < 16:
            raise SpecError(
                "SYNTH_KEY is shorter than 16 characters", fix="set a longer one, e.g. 32 random bytes in hex"
            )
        return named.encode()
    path = home.keys / "master.key"
    if not path.exists():
        with contextlib.suppress(FileExistsError):  # another process may make it first: that one counts
            create(path, secrets.token_hex(32).encode(), private=True)
    if path.stat().st_mode & 0o077:
        raise StorageError("the key file can be read by others", where=str(path), fix=f"chmod 600 {path}")
    data = path.read_bytes()
    if len(data) != 64:
        raise StorageError(
            "the key file is damaged", where=str(path), fix="restore it from a backup; a new key starts new surrogates"
        )
    return data
