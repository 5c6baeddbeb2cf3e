"""Unions over registered classes: `generator:` and `source:` accept built-ins and plug-ins, told apart by `type:`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from synth_pipeline.protocols import registry


@dataclass(frozen=True)
class Registered:
    """`Annotated[GeneratorConfig, Registered("generators")]`: a tagged union of whatever is registered."""

    kind: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        choices = {
            name: handler.generate_schema(registry.load(target)) for name, target in registry.names(self.kind).items()
        }
        return core_schema.tagged_union_schema(choices, discriminator="type")
