"""Samples on an object store: another machine fetches what one has built, or builds it itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import inference_setups
import numpy as np
import pytest

from aiqc_core.errors import ArtifactsError
from aiqc_core.orm import Splitset, clear_cache_all
from aiqc_core.orm.samples import cache as sampling
from aiqc_core.orm.samples import cache_replica
from aiqc_core.orm.samples.cache import FITTED_FILE
from aiqc_core.storage import cache, objects
from aiqc_core.storage.cache import MANIFEST
from aiqc_core.storage.objects import ObjectStore

if TYPE_CHECKING:
    from pathlib import Path

    from services_s3 import Line


@pytest.fixture
def splitset(store: ObjectStore) -> Splitset:
    """Cache the samples of two Folds."""
    made, _ = inference_setups.tabular(fold_count=2)
    made.cache_samples()
    return made


def move_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Go on as on another machine: the same store, an empty cache."""
    monkeypatch.setenv("AIQC_CACHE", str(tmp_path / "other_machine"))


def refuse_to_build(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        pytest.fail("the samples were built")

    monkeypatch.setattr(sampling, "_build", refuse)


def copy_names(store: ObjectStore) -> list[str]:
    return [entry.name for entry in store.entries(cache_replica.FOLDER)]


def arrays(splitset: Splitset) -> dict[str, np.ndarray]:
    return {
        f"{fold.idx}/{split}/{name}": np.array(cache.load(folder / split, name))
        for fold in splitset.ordered_folds
        for folder in [sampling.folder_of(splitset, fold)]
        for split in fold.positions()
        for name in ("feature_0", "label")
    }


def test_another_machine_fetches_what_one_has_built(
    store: ObjectStore, splitset: Splitset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = arrays(splitset)
    move_elsewhere(monkeypatch, tmp_path)
    refuse_to_build(monkeypatch)
    assert not splitset.cache_hot
    splitset.cache_samples()
    assert splitset.cache_hot
    for fold in splitset.ordered_folds:
        assert cache.is_whole(sampling.folder_of(splitset, fold), verify=True)
    fetched = arrays(splitset)
    assert fetched.keys() == built.keys()
    assert all(np.array_equal(fetched[name], built[name]) for name in built)


def test_a_check_fetches_and_never_builds(
    store: ObjectStore, splitset: Splitset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    move_elsewhere(monkeypatch, tmp_path)
    refuse_to_build(monkeypatch)
    fold, other = splitset.ordered_folds
    assert sampling.find(splitset, fold) == sampling.folder_of(splitset, fold)
    cache.withdraw(store, cache_replica.name_of(sampling.folder_of(splitset, other)))
    assert sampling.find(splitset, other) is None


@pytest.mark.parametrize("damage", ["a changed file", "a missing file", "a manifest cut short"])
def test_a_damaged_copy_is_built_again_and_replaced(
    store: ObjectStore, splitset: Splitset, damage: str,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    built = arrays(splitset)
    file = next(name for name in copy_names(store) if name.endswith("feature_0.npy"))
    manifest = f"{file.rsplit('/', 2)[0]}/{MANIFEST}"
    if damage == "a changed file":
        store.put(file, bytes(store.size(file) or 0))
    elif damage == "a missing file":
        store.delete([file])
    else:
        store.put(manifest, store.get(manifest)[:-20])
    move_elsewhere(monkeypatch, tmp_path)
    splitset.cache_samples()
    assert "not fetched but built" in caplog.text
    assert all(np.array_equal(array, built[name]) for name, array in arrays(splitset).items())
    monkeypatch.setenv("AIQC_CACHE", str(tmp_path / "third_machine"))
    refuse_to_build(monkeypatch)
    splitset.cache_samples()


def test_a_manifest_that_leads_out_of_its_folder_is_refused(
    store: ObjectStore, splitset: Splitset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    move_elsewhere(monkeypatch, tmp_path)
    folder = sampling.folder_of(splitset, splitset.ordered_folds[0])
    name = cache_replica.name_of(folder)
    store.put(f"{name}/{MANIFEST}", json.dumps({"../../x": {"sha256": "", "size": 1}}).encode())
    with pytest.raises(ArtifactsError, match="lists"):
        cache.retrieve(folder, store, name)
    assert not folder.exists()


def test_half_a_copy_is_none(
    store: ObjectStore, splitset: Splitset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The manifest is written last, so a copy that broke off is nobody's."""
    folder = sampling.folder_of(splitset, splitset.ordered_folds[0])
    put_file = ObjectStore.put_file

    def break_off(self: ObjectStore, name: str, path: Path) -> None:
        if path.name == FITTED_FILE:
            raise KeyboardInterrupt
        put_file(self, name, path)

    monkeypatch.setattr(ObjectStore, "put_file", break_off)
    with pytest.raises(KeyboardInterrupt):
        cache.publish(folder, store, "samples/half")
    assert store.entries("samples/half")
    assert not cache.retrieve(tmp_path / "half", store, "samples/half")


def test_clearing_deletes_the_copies_too(store: ObjectStore, splitset: Splitset) -> None:
    other, _ = inference_setups.tabular("t")
    other.cache_samples()
    splitset.clear_cache()
    left = copy_names(store)
    assert left
    assert all(name.startswith(cache_replica.name_of(sampling.folder_of(other))) for name in left)
    clear_cache_all()
    assert copy_names(store) == []
    splitset.cache_samples()
    assert splitset.cache_hot


def test_without_the_store_samples_are_built_which_a_warning_says(
    line: Line, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(objects, "PAUSES_SECONDS", (0.05,))
    made, _ = inference_setups.tabular()
    line.cut()
    made.cache_samples()
    assert made.cache_hot
    assert "not fetched but built" in caplog.text
    assert "Other machines cannot fetch" in caplog.text
    with pytest.raises(ArtifactsError, match="cannot be reached"):
        made.clear_cache()
