"""The store and the cache as resources of a user's own assets."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

import dagster as dg
import pytest
from places import ROOT

from aiqc_core import config
from aiqc_core.errors import NotFoundError
from aiqc_core.experiment import workflow
from aiqc_dagster import definitions
from aiqc_dagster.resources import CacheResource, MetastoreResource

if TYPE_CHECKING:
    from pathlib import Path

EXAMPLE = ROOT / "examples" / "own_asset.py"


def example() -> dg.Definitions:
    """Load the example as a code location does."""
    spec = importlib.util.spec_from_file_location("own_asset", EXAMPLE)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.defs


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:fold_count")
def test_an_asset_of_ones_own_uses_the_model_in_use(home: Path) -> None:
    demo = definitions.experiment("breast_cancer")
    few: dict[str, Any] = {"neurons": [8], "learning_rate": [0.01], "epochs": [5]}
    training = demo.training.model_copy(update={"hyperparameters": few, "permute_count": 0})
    experiment = demo.model_copy(update={"training": training})
    workflow.run(experiment, snapshot="s1")
    row, _ = workflow.crown(experiment, "s1")
    defs = example()
    done = dg.materialize([*(defs.assets or [])], resources=dict(defs.resources or {}))
    (event,) = done.asset_materializations_for_node("triage")
    assert event.metadata["predictor_id"].value == row.predictor_id
    assert event.metadata["cached_MB"].value > 0
    assert "probability_malignant" in event.metadata["patients"].value


def test_without_a_champion_the_error_says_what_to_run(home: Path) -> None:
    with pytest.raises(NotFoundError, match="run retrain_breast_cancer"):
        MetastoreResource().champion("breast_cancer")
    with pytest.raises(NotFoundError, match="none is named 'sales'"):
        MetastoreResource().dataset("sales")


def test_the_cache_is_where_it_is_configured_and_can_be_cleared(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from small_experiment import declare

    monkeypatch.setenv(config.CACHE_VARIABLE, str(tmp_path / "fast"))
    queue = workflow.prepare(declare(), "s1")
    queue.splitset.cache_samples()
    cache = CacheResource()
    assert cache.path() == tmp_path / "fast" / "samples"
    assert cache.size_bytes() > 1000
    cache.clear()
    assert cache.size_bytes() == 0
    assert not queue.splitset.cache_hot
