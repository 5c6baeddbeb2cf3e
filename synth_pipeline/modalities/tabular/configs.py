"""The tabular generators' sections of the YAML: pure pydantic, so that loading definitions imports no library."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from synth_pipeline.spec.generation import GeneratorConfig

_SDV = "synth_pipeline.modalities.tabular.models.sdv:Sdv"


class Trees(GeneratorConfig):
    """Sequential trees over typed columns: the default. Fast, conditional, bit-exact."""

    implementation: ClassVar[str] = "synth_pipeline.modalities.tabular.models.trees:Trees"
    type: Literal["trees"] = "trees"
    min_leaf: int | None = Field(
        None, ge=1, description="Fewest training rows in a leaf; chosen by the model's own copy test if not given."
    )
    bins: int = Field(64, ge=4, le=512, description="Quantile bins of a number with many values.")
    sub_bins: int = Field(16, ge=1, le=256, description="Sub-quantiles in a bin.")


class GaussianCopula(GeneratorConfig):
    """SDV's GaussianCopulaSynthesizer (BUSL-1.1)."""

    implementation: ClassVar[str] = _SDV
    type: Literal["gaussian_copula"]
    default_distribution: Literal["norm", "beta", "truncnorm", "uniform", "gamma", "gaussian_kde"] = "beta"
    numerical_distributions: dict[str, str] = Field(default_factory=dict, description="Column → distribution.")
    sdv_constraints: tuple[dict[str, Any], ...] = Field(
        (), description="SDV's own constraints, as in its documentation."
    )


class _Neural(GeneratorConfig):
    epochs: int = Field(300, gt=0, description="Passes over the training rows.")
    batch_size: int = Field(500, gt=1, description="Rows a step.")
    sdv_constraints: tuple[dict[str, Any], ...] = Field(
        (), description="SDV's own constraints, as in its documentation."
    )


class Ctgan(_Neural):
    """SDV's CTGANSynthesizer (BUSL-1.1)."""

    implementation: ClassVar[str] = _SDV
    type: Literal["ctgan"]
    embedding_dim: int = Field(128, gt=0)
    generator_dim: tuple[int, ...] = (256, 256)
    discriminator_dim: tuple[int, ...] = (256, 256)
    discriminator_steps: int = Field(1, gt=0)
    pac: int = Field(10, gt=0, description="Rows that the discriminator judges together; divides batch_size.")


class Tvae(_Neural):
    """SDV's TVAESynthesizer (BUSL-1.1)."""

    implementation: ClassVar[str] = _SDV
    type: Literal["tvae"]
    embedding_dim: int = Field(128, gt=0)
    compress_dims: tuple[int, ...] = (128, 128)
    decompress_dims: tuple[int, ...] = (128, 128)


class CopulaGan(Ctgan):
    """SDV's CopulaGANSynthesizer (BUSL-1.1)."""

    type: Literal["copulagan"]  # type: ignore[assignment]
    default_distribution: Literal["norm", "beta", "truncnorm", "uniform", "gamma", "gaussian_kde"] = "beta"
