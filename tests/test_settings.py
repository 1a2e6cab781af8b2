"""Settings that are paths: expanded, absolute, or refused by the setting's name."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from places import ROOT

from aiqc_core import config
from aiqc_core.errors import AIQCError, MetastoreError
from aiqc_core.orm import Dataset, Feature, Splitset, metastore
from aiqc_core.orm.store import blobs
from aiqc_core.utils.config import timezone_now
from aiqc_dagster.settings import Settings, settings

if TYPE_CHECKING:
    from pathlib import Path

FRAME = pd.DataFrame({"a": np.arange(8.0)})


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder of its own, which is the user's home as well."""
    for variable in ("AIQC_HOME", "AIQC_CACHE", "AIQC_ARTIFACTS"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DISK", str(tmp_path / "disk"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("given", "below"),
    [
        ("~/store", "store"), ("$DISK/store", "disk/store"), ("${DISK}", "disk"),
        (" ~/store ", "store"), ("store", "store"), ("", ".aiqc"), ("  ", ".aiqc"),
    ],
)  # fmt: skip
def test_a_folder_is_expanded_and_absolute(
    place: Path, monkeypatch: pytest.MonkeyPatch, given: str, below: str
) -> None:
    """`~/store` made a folder called ~ in the working directory."""
    monkeypatch.setenv("AIQC_HOME", given)
    Dataset.Tabular.from_df(FRAME)
    metastore.close()
    assert (place / below / "aiqc.sqlite").is_file()
    assert not (place / "~").exists()


def test_a_relative_folder_stays_where_it_was_first_used(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIQC_HOME", "store")
    Dataset.Tabular.from_df(FRAME)
    (place / "elsewhere").mkdir()
    monkeypatch.chdir(place / "elsewhere")
    assert Dataset.select().count() == 1
    assert os.environ["AIQC_HOME"] == str(place / "store")
    metastore.close()


def cached() -> str:
    feature = Feature.from_dataset(Dataset.Tabular.from_df(FRAME).id)
    made = Splitset.make([feature.id], size_test=0.25)
    made.cache_samples()
    metastore.close()
    return made.cache_path


def test_the_cache_and_the_objects_are_expanded_too(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIQC_CACHE", "~/cache")
    monkeypatch.setenv("AIQC_ARTIFACTS", "file://$DISK/objects ")
    assert cached().startswith(str(place / "cache"))
    assert config.settings.artifacts == f"file://{place}/disk/objects"
    assert (place / "disk" / "objects").is_dir()
    assert not (place / "~").exists()


@pytest.mark.parametrize(
    "given",
    [
        "file", "file/below", "/proc/nothing", "$NOPE/x", "~nobody-x/y",
        "'quoted'", '"quoted"', "%HOME%/x", "a" * 300, "s3://bucket/x", "file:///tmp/x",
    ],
)  # fmt: skip
@pytest.mark.parametrize("variable", ["AIQC_HOME", "AIQC_CACHE", "AIQC_ARTIFACTS"])
def test_what_is_no_folder_is_refused_by_the_name_of_the_setting(
    place: Path, monkeypatch: pytest.MonkeyPatch, variable: str, given: str
) -> None:
    (place / "file").write_text("")
    monkeypatch.setenv(variable, f"file://{given}" if variable == "AIQC_ARTIFACTS" else given)
    monkeypatch.setattr(blobs, "OBJECT_BYTES", 1)  # else so few bytes stay in the metastore
    with pytest.raises(AIQCError, match=variable):
        cached()
    metastore.close()
    assert (place / "file").read_text() == ""


def test_a_home_that_is_empty_is_no_root(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "")
    monkeypatch.setenv("AIQC_HOME", "~/store")
    with pytest.raises(MetastoreError, match="AIQC_HOME='~/store': HOME"):
        config.home()


@pytest.mark.parametrize("given", ["bucket", "nosuch://bucket"])
def test_objects_at_no_url_are_refused_with_the_first_bytes_however_few(
    place: Path, monkeypatch: pytest.MonkeyPatch, given: str
) -> None:
    monkeypatch.setenv("AIQC_ARTIFACTS", given)
    with pytest.raises(MetastoreError, match="AIQC_ARTIFACTS"):
        Dataset.Tabular.from_df(FRAME)
    assert Dataset.select().count() == 0
    metastore.close()


def test_a_name_that_holds_a_dollar_is_a_name(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "a$b").mkdir()
    monkeypatch.setenv("AIQC_HOME", str(place / "a$b"))
    assert config.home() == place / "a$b"


def test_blanks_around_a_setting_are_no_part_of_it(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIQC_DATABASE_URL", "  ")
    assert config.settings.database_url is None
    monkeypatch.setenv("AIQC_DATABASE_URL", "sqlite:///x")
    with pytest.raises(MetastoreError, match="AIQC_DATABASE_URL"):
        assert config.settings.database_url


def test_each_variable_is_a_field_that_says_what_to_give_and_what_it_does() -> None:
    named = {
        name
        for package in ("aiqc_core", "aiqc_dagster")
        for path in (ROOT / package).rglob("*.py")
        for name in re.findall(r"\bAIQC_[A-Z0-9_]+", path.read_text("utf-8"))
    }
    internal = {config.SLOT_VARIABLE, config.OWN_VARIABLE, config.PARENT_VARIABLE}
    internal.add("AIQC_MIGRATE_TO")  # an option of `aiqc migrate`, whose help says it
    fields = config.variables(Settings)
    assert named - internal <= set(fields.values())
    for name, field in Settings.model_fields.items():
        assert field.title, name
        assert field.description, name


def test_the_settings_as_a_whole_are_those_read_one_by_one(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {"AIQC_HOME": "~/store", "AIQC_LEASE_SECONDS": " 7.5", "AIQC_OOM_RETRY": "1"}
    for name, text in (given | {"AIQC_WORKERS": "3", "KERAS_HOME": "/k"}).items():
        monkeypatch.setenv(name, text)
    whole = Settings().__dict__
    assert whole == {name: getattr(settings, name) for name in Settings.model_fields}
    assert (settings.workers, settings.lease_seconds, settings.oom_retry) == (3, 7.5, True)
    monkeypatch.setenv("AIQC_WORKERS", "")
    assert settings.workers is None


def test_a_blank_toleration_tolerates_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIQC_GPU_TOLERATION", raising=False)
    assert settings.gpu_toleration == "nvidia.com/gpu"
    monkeypatch.setenv("AIQC_GPU_TOLERATION", " ")
    assert settings.gpu_toleration == ""


def test_the_time_of_the_reference_is_that_of_the_rows(home: Path) -> None:
    before = timezone_now()
    row = Dataset.Tabular.from_df(FRAME)
    assert before <= row.time_created <= timezone_now()
    assert row.time_created.utcoffset() == timezone_now().utcoffset() is not None
