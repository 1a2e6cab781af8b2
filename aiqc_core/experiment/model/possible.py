"""Find what no data can make work in a pipeline, when it is declared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiqc_core.stages.preprocess.encoders import checked, has_inverse, label_fault
from aiqc_core.stages.split import answers
from aiqc_core.stages.split.cut import refuse_arguments

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aiqc_core.experiment.model.pipeline import FeatureEncoder, Interpolation, Pipeline


def impossible(pipeline: Pipeline) -> Iterator[str]:
    """Yield what no data can make work in a pipeline; each message begins with the field."""
    yield from _of_columns(pipeline)
    yield from _of_target(pipeline)
    for name in ("feature_encoders", "interpolations"):
        yield from _of_steps(name, getattr(pipeline, name), pipeline.features)
    if (pipeline.size_test or 0.0) + (pipeline.size_validation or 0.0) >= 1.0:
        yield (
            f"size_validation: {pipeline.size_validation} beside size_test={pipeline.size_test} "
            "leaves nothing to train. Give shares that are below 1 together."
        )
    refuse_arguments(
        bin_count=pipeline.bin_count,
        groups=pipeline.groups,
        time_ordered=pipeline.time_ordered,
        gap=pipeline.gap,
        has_basis=bool(pipeline.label_columns) or pipeline.unsupervised_stratify_col is not None,
    )


def _of_columns(pipeline: Pipeline) -> Iterator[str]:
    for name in ("label", "features"):
        value = getattr(pipeline, name)
        if isinstance(value, list):
            yield from _of_names(name, value)
    if pipeline.groups in pipeline.label_columns:
        yield f"groups: {pipeline.groups!r} {answers.NO_GROUPS}"


def _of_names(field: str, value: Sequence[str]) -> Iterator[str]:
    if not value:
        yield f"{field}: is empty; name one, or leave it out."
    twice = sorted({name for name in value if list(value).count(name) > 1})
    if twice:
        yield f"{field}: names {twice} twice; name each once."


def _of_target(pipeline: Pipeline) -> Iterator[str]:
    if pipeline.label_columns:
        if pipeline.unsupervised_stratify_col is not None:
            yield "unsupervised_stratify_col: the label stratifies; leave it out."
        coder = pipeline.label_encoder
        if coder is not None and (fault := label_fault(checked(coder))):
            yield f"label_encoder: {fault}"
        return
    for name in ("label_encoder", "label_interpolation"):
        if getattr(pipeline, name) is not None:
            yield f"{name}: there is no label; name its column in label, or leave this out."
    for i, coder in enumerate(pipeline.feature_encoders):
        if coder.encoder is not None and not has_inverse(checked(coder.encoder)):
            yield (
                f"feature_encoders.{i}: without a label the features are what is learned, and "
                f"{coder.encoder!r} has no inverse to decode predictions with. Use another."
            )


def _of_steps(
    field: str, steps: Sequence[FeatureEncoder | Interpolation], features: Sequence[str] | None
) -> Iterator[str]:
    """Yield steps that can match no column: each takes those that earlier ones left."""
    taken: set[str] = set()
    for i, step in enumerate(steps):
        columns = step.columns
        if step.dtypes is not None:
            yield from _of_names(f"{field}.{i}.dtypes", step.dtypes)
        if columns is not None:
            yield from _of_names(f"{field}.{i}.columns", columns)
            if getattr(step, "include", True):
                again = sorted(taken & set(columns))
                if again:
                    yield f"{field}.{i}.columns: an earlier one takes {again}; name each once."
                taken |= set(columns)
        unknown = [] if features is None else [c for c in columns or () if c not in features]
        if unknown:
            known = list(features or ())
            yield f"{field}.{i}.columns: {unknown} are not among the features {known}."
        if columns is None and step.dtypes is None and i + 1 < len(steps):
            yield (
                f"{field}.{i + 1}: the one before has no filter and takes all columns, so none is "
                "left. Give each its columns or dtypes."
            )
