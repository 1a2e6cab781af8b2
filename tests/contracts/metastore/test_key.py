"""The signing key by environment, for machines that share a store and no folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from aiqc_core import config
from aiqc_core.errors import MetastoreError, TrustError
from aiqc_core.orm.store import signing

if TYPE_CHECKING:
    from pathlib import Path

KEY = "0f" * 32


def test_machines_with_the_same_key_open_each_others_pickles(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIQC_STORE_KEY", KEY.upper() + "\n")
    sealed = signing.dumps({"a": 1})
    assert not config.key_path().exists()
    with config.use_home(tmp_path / "another machine"):
        assert signing.loads(sealed) == {"a": 1}


def test_the_key_of_the_file_can_be_given_as_text(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed = signing.dumps("mine")
    monkeypatch.setenv("AIQC_STORE_KEY", config.key_path().read_bytes().hex())
    with config.use_home(tmp_path / "another machine"):
        assert signing.loads(sealed) == "mine"
        monkeypatch.setenv("AIQC_STORE_KEY", KEY)
        with pytest.raises(TrustError, match=r"store's key \(AIQC_STORE_KEY\).* share its key"):
            signing.loads(sealed)


@pytest.mark.parametrize("text", ["my s3cret", "0f" * 31, "0g" * 32, "0f" * 33])
def test_a_malformed_key_is_refused_unseen(
    home: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("AIQC_STORE_KEY", text)
    for sign in (lambda: signing.dumps(1), lambda: signing.loads(signing.MAGIC + bytes(99))):
        with pytest.raises(MetastoreError, match="expected 64 hexadecimal digits") as raised:
            sign()
        assert text not in str(raised.value)
    assert not home.exists()
