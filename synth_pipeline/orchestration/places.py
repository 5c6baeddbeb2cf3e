"""The resource that tells the assets where releases go; everything private lies in SYNTH_HOME."""

import dagster as dg
from pydantic import Field


class Places(dg.ConfigurableResource):
    """Where releases go."""

    store: str = Field(
        default="", description="A folder or fsspec URI; `$SYNTH_STORE`, else the project's data/releases, if empty."
    )

    def releases(self) -> str:
        from synth_pipeline.publishing.store import default_store

        return self.store or default_store()
