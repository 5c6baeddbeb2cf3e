"""The six assets in words: which stage makes which noun, from what, and how Dagster shows it; imports nothing heavy."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Noun:
    """One asset of every dataset.

    `takes`: the stages whose results the stage function is given, in order. `reads`: those whose data it really reads,
    which is what Dagster draws.
    """

    stage: str
    name: str
    takes: tuple[str, ...]
    reads: tuple[str, ...]
    kinds: frozenset[str]
    description: str


NOUNS = (
    Noun("ingest", "ingested", (), (), frozenset({"parquet"}),
         "The source's rows with a frozen schema, split into train and holdout. Private."),
    Noun("protect", "protected", ("ingest",), ("ingest",), frozenset({"parquet"}),
         "Ingested rows without what identifies: dropped, replaced by surrogates, coarsened. Private."),
    Noun("train", "model", ("protect",), ("protect",), frozenset(),
         "A generator trained on protected training rows. Private."),
    Noun("generate", "synthetic", ("train", "protect"), ("train", "protect"), frozenset({"parquet"}),
         "Rows drawn from the model, not yet judged."),
    Noun("validate", "scorecard", ("generate", "train", "protect"), ("generate", "train", "protect"),
         frozenset({"json", "html"}),
         "Fidelity, utility and copying of the synthetic rows beside held-out real rows, and the gates' verdicts."),
    Noun("export", "release", ("validate", "generate", "train", "protect"), ("validate", "generate", "train"),
         frozenset({"parquet", "croissant"}),
         "A published version that consumers may read; exists only if every blocking gate passed."),
)  # fmt: skip

NAMES = {noun.stage: noun.name for noun in NOUNS}
"""Stage → noun."""

FORCE = "synth/force"
"""Run tag: "true" recomputes every stage of the run, whatever is committed already."""
