"""The report: one offline HTML file that shows what a scorecard found, in an internal and a publishable flavour."""

from synth_pipeline.evaluation.report.render import render_internal, render_public

__all__ = ["render_internal", "render_public"]
