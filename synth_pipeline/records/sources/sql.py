"""Tables and queries of PostgreSQL and SQLite, streamed by ADBC into a private copy that can be read again."""

from __future__ import annotations

import re


def redact(url: str) -> str:
    """`url` without password and without query parameters that may hold one."""
    url = re.sub(r"(://[^/@:]*):[^@/]*@", r"\1@", url)
    return re.sub(r"([?&][^=&]*(?:pass|secret|token|key|sig)[^=&]*=)[^&]*", r"\1…", url, flags=re.IGNORECASE)
