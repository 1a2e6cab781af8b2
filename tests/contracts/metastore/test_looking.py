"""`aiqc doctor` on a store of either kind: it finds the same, and changes nothing."""

from __future__ import annotations

import pytest
import small_store

from aiqc_core import config
from aiqc_core.orm import Dataset, Feature, metastore
from aiqc_core.orm.admin import doctor, readonly
from aiqc_core.orm.store.blobs import Blob, BlobChunk


@pytest.fixture
def filled(store: str) -> str:
    """Fill a store of each kind; returns which."""
    small_store.fill()
    return store


def ailing(*, deep: bool = False) -> dict[str, str]:
    """Return what is found of the parts that are not well."""
    return {s.part: s.found for s in doctor.examine(deep=deep).diagnostics if s.verdict != "ok"}


def test_a_sound_store_is_sound(filled: str) -> None:
    assert ailing(deep=True) == {}
    assert Dataset.select().count() == 1


def test_bytes_that_are_gone_or_changed_are_found(filled: str) -> None:
    BlobChunk.update(data=b"changed").execute()
    metastore.close()
    assert "are damaged" in ailing()["blobs"]
    metastore.execute_sql("DELETE FROM blobchunk")
    metastore.close()
    assert "set AIQC_ARTIFACTS" in ailing()["blobs"]


def test_a_digest_that_no_content_has_is_found(filled: str) -> None:
    Dataset.update(blob="0" * 64).execute()
    Blob.insert(sha256="1" * 64, size=0).execute()
    metastore.close()
    assert "1 that rows need have no bytes" in ailing()["blobs"]


def test_what_another_key_signed_is_found(filled: str) -> None:
    config.key_path().write_bytes(b"k" * 32)
    assert "0 pickles are signed by this store's key" in ailing()["signatures"]
    assert Feature.select().count() == 1


def test_an_unmigrated_store_is_reported_and_stays_so(filled: str) -> None:
    metastore.execute_sql("UPDATE storeinfo SET value = '1' WHERE key = 'schema_version'")
    metastore.close()
    assert "version 1" in ailing()["schema"]
    with readonly.opened() as database:
        assert readonly.schema_version(database, "it") == 1
