"""Which action each column gets: the declared one, else a default by role, meaning and what detection found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pyarrow as pa

from synth_pipeline.errors import SpecError, did_you_mean
from synth_pipeline.privacy.detect.columns import Finding
from synth_pipeline.privacy.transform.entities import kind, known
from synth_pipeline.privacy.transform.hashing import is_number, is_text
from synth_pipeline.records.schema import Column, Meaning, Role, columns
from synth_pipeline.spec.privacy import Action, Drop, Fake, Generalise, Hash, Keep, Mask, PrivacySpec, Suppress

_QUASI = frozenset(
    {"birth_date", "city", "postcode", "zip", "country", "company", "job", "age", "gender", "nationality"}
)
"""Personal, but not identifying alone: learned like any other column, rare levels suppressed."""
_IDENTIFYING = (Role.PRIMARY_KEY, Role.ENTITY)


@dataclass(frozen=True)
class Protection:
    """What happens to one column. `output`: the protected column, its note not yet written (None: dropped).

    `entity`: the kind of surrogate; `scrub`: single identifiers inside it are removed; `least`: units a level needs.
    """

    column: Column
    action: Action
    reason: str
    output: Column | None
    entity: str | None = None
    share: float | None = None
    surrogate: bool = False
    scrub: bool = False
    least: int = 1
    counted: bool = True
    """Whether values may repeat: not those of a primary key of one column."""

    @property
    def identifies(self) -> bool:
        """Whether the source values name somebody, so that none may survive anywhere."""
        return self.surrogate or isinstance(self.action, Mask) or (isinstance(self.action, Drop) and self._named)

    @property
    def kind(self) -> str:
        """What the source values are, for the residual scan."""
        free = self.column.meaning is Meaning.TEXT and not self.surrogate
        return Meaning.TEXT.value if free else self.entity or self.column.meaning.value

    @property
    def _named(self) -> bool:
        return self.entity is not None or self.column.meaning in (Meaning.IDENTIFIER, Meaning.TEXT)


def plan(schema: pa.Schema, spec: PrivacySpec, found: Mapping[str, Finding]) -> dict[str, Protection]:
    """One protection per column, in order.

    Raises:
        SpecError: an action for a column that is not there, that does not suit it, or that would keep an identifier.
    """
    cols = {column.name: column for column in columns(schema)}
    for name in spec.columns:
        if name not in cols:
            raise SpecError(f'there is no column "{name}"; {did_you_mean(name, cols)}', where="privacy.columns")
    made = {name: _one(column, spec, found.get(name)) for name, column in cols.items()}
    keys = [name for name, column in cols.items() if Role.PRIMARY_KEY in column.roles]
    if len(keys) == 1:
        made[keys[0]] = replace(made[keys[0]], counted=False)
    return made


def _one(column: Column, spec: PrivacySpec, finding: Finding | None) -> Protection:
    if declared := spec.columns.get(column.name):
        return _declared(column, declared, spec, finding)
    entity = column.pii or (finding.entity if finding and not finding.embedded else None)
    share = finding.share if finding else None
    if (
        any(role in column.roles for role in _IDENTIFYING)
        or (column.meaning is Meaning.IDENTIFIER and column.pii != "none")
        or (Role.FOREIGN_KEY in column.roles and column.pii != "none")
    ):
        if not _replaceable(column.type):
            return Protection(column, Drop(type="drop"), "an identifier that no surrogate can stand for", None, entity)
        chosen = entity if entity and known(entity) and _suits(entity, column) else "identifier"
        return _fake(
            column,
            Fake(type="fake", entity=chosen, locale=spec.locale, unique=None),
            "identifies a row or a person",
            chosen,
            share,
        )
    if column.pii == "none":
        return _keep(column, spec, "declared not to be personal", scrub=False)
    filled = finding is not None and not finding.embedded and known(finding.entity)
    if column.meaning is Meaning.TEXT and not column.pii and not filled:
        reason = "free text" + (f"; {finding.entity} found in it" if finding else "")
        return Protection(column, Drop(type="drop"), reason, None, finding.entity if finding else None, share)
    if entity and entity not in _QUASI:
        reason = "declared personal" if column.pii else f"{finding.evidence}: {entity}" if finding else ""
        if known(entity) and _suits(entity, column):
            action = Fake(type="fake", entity=entity, locale=spec.locale, unique=None)
            return _fake(column, action, reason, entity, share)
        return Protection(
            column, Drop(type="drop"), f"{reason}; no surrogate for this column's type", None, entity, share
        )
    reason = f"personal ({entity}), but does not identify alone" if entity else "by meaning"
    if finding and finding.embedded:
        reason = f"{finding.entity} found {finding.evidence}: those are removed"
    kept = _keep(column, spec, reason, scrub=spec.detect)
    return replace(kept, entity=entity, share=share)


def _declared(column: Column, action: Action, spec: PrivacySpec, finding: Finding | None) -> Protection:
    where, reason = f"privacy.columns.{column.name}", "declared"
    told = column.pii if column.pii != "none" else None
    entity = told or (finding.entity if finding else None)
    share = finding.share if finding else None
    if Role.ENTITY in column.roles and isinstance(action, Drop):
        raise SpecError(
            "without the entity nothing tells which rows belong together: intervals would take each for a unit",
            where=where,
            fix="use fake or hash: no value of the source stays, and synthetic rows get fresh ones",
        )
    if any(role in column.roles for role in _IDENTIFYING) and not isinstance(action, Drop | Fake | Hash):
        raise SpecError(
            f"`{action.type}` would leave a primary key or entity recognisable",
            where=where,
            fix="use fake or hash" if Role.ENTITY in column.roles else "use fake, hash or drop",
        )
    if isinstance(action, Keep):
        return Protection(column, action, action.reason, _output(column), entity, share)
    if isinstance(action, Drop):
        return Protection(column, action, reason, None, entity, share)
    if isinstance(action, Hash):
        output = column.having(type=pa.string(), meaning=Meaning.IDENTIFIER, facts={})
        return Protection(column, action, reason, output, entity, share, surrogate=True)
    if isinstance(action, Fake):
        # what is only found inside longer values says nothing about the whole
        chosen = action.entity or told or (finding.entity if finding and not finding.embedded else None)
        if chosen is None or (chosen != "identifier" and not action.entity and not _suits(chosen, column)):
            chosen = "identifier"
        if chosen != "identifier":
            kind(chosen, action.locale)  # tells a mistyped one at once
        if not _replaceable(column.type) or not (chosen == "identifier" or _suits(chosen, column)):
            raise SpecError(f"a column of type {column.type} cannot hold surrogates of {chosen}", where=where)
        return _fake(column, action, reason, chosen, share)
    if isinstance(action, Mask):
        output = column.having(type=pa.string(), meaning=Meaning.CATEGORY, nullable=True, facts={})
        return Protection(column, action, reason, output, entity, share, least=spec.rare_levels)
    if isinstance(action, Generalise):
        return _generalise(column, action, spec, where, entity, share)
    output = column.having(nullable=True)
    output = output.having(meaning=Meaning.CATEGORY) if _hidden(output) else output
    if action.to is not None and not is_text(column.type):
        raise SpecError(f"`to` replaces levels of text, not of {column.type}", where=where)
    return Protection(column, action, reason, output, entity, share, scrub=spec.detect, least=action.min_count)


def _generalise(
    column: Column, action: Generalise, spec: PrivacySpec, where: str, entity: str | None, share: float | None
) -> Protection:
    number = is_number(column.type) or pa.types.is_decimal(column.type)
    wants, fits = (
        ("a number", number)
        if action.width is not None or action.bins is not None
        else ("a date", pa.types.is_timestamp(column.type) or pa.types.is_date(column.type))
        if action.date is not None
        else ("a text", is_text(column.type))
    )
    if not fits:
        raise SpecError(f"this generalisation needs {wants}, the column holds {column.type}", where=where)
    output = column.having(nullable=True)
    if action.prefix is not None or action.bins is not None:
        output = output.having(type=pa.string(), meaning=Meaning.CATEGORY, facts={})
        return Protection(column, action, "declared", output, entity, share, scrub=spec.detect, least=spec.rare_levels)
    if _hidden(output):
        output = output.having(meaning=Meaning.DATETIME if action.date else Meaning.NUMBER)
    return Protection(column, action, "declared", output, entity, share)


def _keep(column: Column, spec: PrivacySpec, reason: str, *, scrub: bool) -> Protection:
    output = _output(column)
    scrub = scrub and (is_text(column.type) or is_number(column.type))
    if output.meaning is Meaning.CATEGORY and spec.rare_levels > 1:
        action = Suppress(type="suppress", min_count=spec.rare_levels, to=None)
        return Protection(column, action, reason, output.having(nullable=True), scrub=scrub, least=spec.rare_levels)
    if scrub:
        output = output.having(nullable=True)
    return Protection(column, Keep(type="keep", reason=reason), reason, output, scrub=scrub)


def _fake(column: Column, action: Fake, reason: str, entity: str, share: float | None) -> Protection:
    output = column.having(pii=entity if entity != "identifier" else column.pii, meaning=Meaning.IDENTIFIER)
    return Protection(column, action, reason, output, entity, share, surrogate=True)


def _output(column: Column) -> Column:
    """A kept identifier or text is learned as a category: somebody said that it is none."""
    return column.having(meaning=Meaning.CATEGORY) if _hidden(column) else column


def _hidden(column: Column) -> bool:
    return column.meaning in (Meaning.IDENTIFIER, Meaning.TEXT)


def _suits(entity: str, column: Column) -> bool:
    return is_text(column.type) or (is_number(column.type) and entity in ("card", "phone", "ssn"))


def _replaceable(kind: pa.DataType) -> bool:
    return is_text(kind) or is_number(kind)
