"""What every asset of the code location shares: where releases go, and the executor; defined here and nowhere else."""

import dagster as dg

from synth_pipeline.orchestration.places import Places


@dg.definitions
def resources() -> dg.Definitions:
    return dg.Definitions(
        resources={"places": Places()},
        # a process per step frees what a library holds on to; two at once, as a model's training may need half the
        # memory. `synth run` runs the steps in its own process.
        executor=dg.multiprocess_executor.configured({"max_concurrent": 2}, name="two_processes"),
    )
