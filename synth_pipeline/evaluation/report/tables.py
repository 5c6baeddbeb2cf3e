"""Tables and short texts of the page, as plain values; the template turns them into HTML."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from synth_pipeline.evaluation.report.svg import short as cut


@dataclass(frozen=True)
class Table:
    """A table of the page; `kinds` are its columns' classes: "n" numbers, "t" long text.

    Neighbouring rows with the same first cell share one heading.
    """

    caption: str
    head: Sequence[str]
    kinds: Sequence[str]
    rows: Sequence[Sequence[Any]]
    more: str = ""

    @property
    def spans(self) -> list[int]:
        """Per row, how many rows its heading stands for; 0: an earlier row's heading stands for it."""
        spans: list[int] = []
        begin = 0
        for i, row in enumerate(self.rows):
            same = i > 0 and row[0] == self.rows[begin][0]
            spans.append(0 if same else 1)
            begin = begin if same else i
            spans[begin] += same
        return spans


def short(text: Any, most: int = 80) -> str:
    """Any name as one line."""
    return cut(text, most)


def sentence(text: str) -> str:
    """A note as a sentence of its own."""
    text = re.sub(
        r"(?<![\w.\-])(?!(?:19|20)\d\d\b)\d{4,}(?![\w\-]|\.\d)", lambda digits: f"{int(digits[0]):,}", text.strip()
    )
    first = text[:1].upper() if text[:1].isascii() else text[:1]  # π is no capital letter
    return text and first + text[1:] + ("" if text[-1] in ".!?…" else ".")


def table(caption: str, head: Sequence[str], kinds: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table | None:
    """A table less the columns in which nothing is said."""
    said = [i for i in range(len(head)) if any(row[i] not in ("", "–") for row in rows)]
    if not rows:
        return None
    kept = [[row[i] for i in said] for row in rows]
    return Table(caption, [head[i] for i in said], [kinds[i] for i in said], kept)
