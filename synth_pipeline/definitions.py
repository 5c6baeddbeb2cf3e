"""The code location: this project's `defs/` and the datasets that `synth run FILE` has declared in SYNTH_HOME."""

import dagster as dg

from synth_pipeline.orchestration.location import code_location


@dg.definitions
def defs() -> dg.Definitions:
    return code_location()
