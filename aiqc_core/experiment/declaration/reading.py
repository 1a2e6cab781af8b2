"""One declaration → an Experiment, or all of its faults at once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from pyarrow import parquet
from pydantic import ValidationError

from aiqc_core.errors import AIQCError, DeclarationError
from aiqc_core.experiment import Experiment, FeatureEncoder, Training
from aiqc_core.experiment.declaration import text
from aiqc_core.experiment.declaration.building import Builder
from aiqc_core.experiment.declaration.faults import Fault, of_exception
from aiqc_core.experiment.model import base
from aiqc_core.experiment.workflow.data import refuse_no_class, unknown
from aiqc_core.stages.ingest.delimited import header_of
from aiqc_core.stages.ingest.tabular import DELIMITERS, FORMATS
from aiqc_core.stages.train.functions.capture import SIGNATURES, capture
from aiqc_core.wording import did_you_mean

if TYPE_CHECKING:
    from aiqc_core.experiment.model.base import Declared
    from aiqc_core.wording import Place

COMPONENT = "aiqc_dagster.component.ExperimentComponent"
LOADER = "aiqc_dagster.build.loader.faults"  # by name, as Dagster finds the component
ATTRIBUTES = "attributes"
YAML_KEYS: dict[type[Declared], tuple[str, ...]] = {
    Training: ("functions",),
    FeatureEncoder: ("args",),
}
ENVELOPE = ("type", ATTRIBUTES, "template_vars_module", "requirements", "post_processing")


def load(file: str | Path, *, document: int = 0) -> Experiment:
    """Read the experiment that a YAML file declares.

    The declaration is the whole document, or stands under `attributes:` as in the `defs.yaml` of
    an `ExperimentComponent`.

    Args:
        file: the YAML file.
        document: which of the documents that `---` separates, counted from 0.

    Raises:
        DeclarationError: with every fault of the file, one a line.
    """
    experiment, faults = examine(Path(file), document=document)
    if faults or experiment is None:
        raise DeclarationError("\n".join(map(str, faults)))
    return experiment


def examine(
    file: Path, *, document: int = 0, deep: bool = False
) -> tuple[Experiment | None, list[Fault]]:
    """Read a declaration without raising.

    Args:
        file: the YAML file.
        document: which of its documents.
        deep: also call the source's function, and look whether the functions can be stored.

    Returns:
        The experiment where it can be made, and all faults; with a fault it must not be run.
    """
    file = file.absolute()
    documents, faults = text.read(file)
    if not documents:
        return None, faults or [Fault(file, None, "is empty; it declares nothing.")]
    chosen = documents[document]
    prefix = (ATTRIBUTES,) if is_component(chosen.data) else ()
    builder = Builder(file, chosen, prefix, faults)
    data = _declaration(builder, chosen.data)
    return (None, faults) if data is None else _made(data, builder, deep=deep)


def of_values(data: dict[str, Any], folder: Path) -> tuple[Experiment | None, list[Fault]]:
    """Make the experiment of plain values that no file holds, as if one in a folder did."""
    return _made(data, Builder(folder.absolute() / "values", text.Document(data)), deep=False)


def _made(
    data: dict[str, Any], builder: Builder, *, deep: bool
) -> tuple[Experiment | None, list[Fault]]:
    built = builder.build(data)
    experiment = None
    try:
        experiment = Experiment.model_validate(built)
    except ValidationError as error:
        for place, message in base.problems(error, built, keys_at, "key"):
            _note(builder, place, message, data)
    _check_columns(data, built, builder, deep=deep and not builder.faults)
    if experiment is not None and deep and not builder.faults:
        _check_functions(experiment, data, builder)
        try:
            refuse_no_class(experiment)
        except AIQCError as error:
            message = str(error).removeprefix("positive: ")
            builder.fault(("pipeline", "positive"), message)
    return experiment, sorted(set(builder.faults), key=lambda f: (str(f.file), f.line or 0))


def is_component(data: Any) -> bool:
    """Say whether a document is in the envelope of Dagster's components."""
    return isinstance(data, dict) and "type" in data


def header(file: Path) -> list[str]:
    """Return the columns of a csv, tsv or parquet file without reading its rows.

    Raises:
        Exception: whatever the reader raises on a broken file.
    """
    kind = FORMATS[file.suffix.lower()]
    if kind == "parquet":
        return list(parquet.read_schema(file).names)
    return header_of(file, DELIMITERS[kind])


def keys_at(place: Place) -> list[str]:
    """Return the keys that a place of a declaration may have.

    >>> keys_at(("pipeline", "window"))
    ['size_window', 'size_shift']
    """
    return base.keys_at(place, Experiment, YAML_KEYS)


def _declaration(builder: Builder, data: Any) -> dict[str, Any] | None:
    """Return the mapping that declares, out of its envelope."""
    if not isinstance(data, dict):
        builder.fault((), f"holds a {type(data).__name__}; give keys such as name: and pipeline:.")
        return None
    if not is_component(data):
        return data
    outer = Builder(builder.file, builder.document, (), builder.faults)
    for key in data:
        if key not in ENVELOPE:
            outer.fault((str(key),), f"no such key. {did_you_mean(key, ENVELOPE)}")
    attributes = data.get(ATTRIBUTES)
    if not isinstance(attributes, dict):
        outer.fault((ATTRIBUTES,), "is missing; the declaration stands under it.")
        return None
    return attributes


def _note(builder: Builder, place: Place, message: str, data: dict[str, Any]) -> None:
    """Note a fault; of a function that a module gives, at the line that names the module."""
    *above, last = place or ("",)
    if place[:1] == ("training",) and last in SIGNATURES and last not in data["training"]:
        builder.fault(("training", "functions"), f"{last}: {message}", at_key=False)
        return
    if last == "encoder":  # which a file may write without its key
        described: Any = data
        for part in above:
            described = described[part]
        place = tuple(above) if isinstance(described, str) else place
    builder.fault(place, message)


def _check_columns(
    data: dict[str, Any], built: dict[str, Any], builder: Builder, *, deep: bool
) -> None:
    source = built.get("source")
    try:
        if isinstance(source, Path):
            known = header(source) if source.is_file() else None
            features, label = known, known
        elif deep and callable(source):
            found = Experiment.model_validate(built).load()
            named = isinstance(found.values, pd.DataFrame)
            features = list(map(str, found.values)) if named else None
            label = features if found.labels is None else list(map(str, found.labels))
        else:
            return
    except Exception as error:  # noqa: BLE001 - a user's source may raise anything
        builder.fault(("source",), f"reading it raised {type(error).__name__}: {error}")
        if callable(source):
            builder.faults.append(of_exception(error, builder.file.parent, builder.file))
        return
    for place, message in unknown(data.get("pipeline"), features, label):
        builder.fault(place, message)


def _check_functions(experiment: Experiment, data: dict[str, Any], builder: Builder) -> None:
    for role in SIGNATURES:
        function = getattr(experiment.training, role)
        if function is None:
            continue
        try:
            capture(role, function)
        except AIQCError as error:
            written = ("training", role if role in data["training"] else "functions")
            builder.fault(written, str(error), at_key=False)
