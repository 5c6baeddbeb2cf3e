"""Dagster's part, and the only room that imports it; this module is the `dg` registry: what a `defs.yaml` may name."""

from synth_pipeline.orchestration.component import SyntheticDataset as SyntheticDataset
