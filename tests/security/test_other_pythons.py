"""Code and objects that another version of Python stored are refused in words, never run."""

from __future__ import annotations

import pickle
import platform
import types
from typing import TYPE_CHECKING, Any

import cloudpickle
import pytest
import small_store

from aiqc_core.errors import AlgorithmError, MetastoreError, TrainingError
from aiqc_core.orm import Algorithm, FeatureCoder, Queue
from aiqc_core.orm.store import blobs, signing
from aiqc_core.orm.tables.algorithm import ROLES
from aiqc_core.stages.train import trained_model
from aiqc_core.stages.train.functions import capture

if TYPE_CHECKING:
    from pathlib import Path

HERE = platform.python_version()


class Raises:
    """Raises when it is unpickled, as what another Python wrote does."""

    def __init__(self, make: Any, *given: Any) -> None:
        self.how = (make, given)

    def __reduce__(self) -> Any:
        return self.how


BROKEN = {
    "code of another arity": cloudpickle.dumps(Raises(types.CodeType, *range(12))),
    "a name that is gone": b"cpickle\nNoSuchName\n.",
    "a module that is gone": b"cno_such_module_d9\nname\n.",
    "bytes cut short": pickle.dumps(list(range(9)))[:-3],
    "another protocol": b"\x80\x09.",
    "a value refused": pickle.dumps(Raises(int, "no number")),
}


def sealed_by(python: str, payload: bytes, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Sign bytes as this store did when it ran on another Python."""
    with monkeypatch.context() as patch:
        patch.setattr(signing, "_versions", lambda: {"python": python})
        return signing.seal(payload)


@pytest.mark.parametrize("payload", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("python", ["3.7.16", HERE])
def test_functions_tell_both_versions(
    home: Path, monkeypatch: pytest.MonkeyPatch, payload: bytes, python: str
) -> None:
    data = blobs.put(sealed_by(python, payload, monkeypatch))
    algorithm = Algorithm(**dict.fromkeys(ROLES, data), sources={"fn_build": "def fn_build(): 1"})
    with pytest.raises(AlgorithmError) as caught:
        trained_model.restore_functions(algorithm.payloads(), algorithm.sources)
    assert f"Python {python} stored it, and this is Python {HERE}" in str(caught.value)
    assert "'def fn_build(): 1'" in str(caught.value)
    assert "make it and what follows from it again" in str(caught.value)


def test_a_job_that_cannot_read_its_functions_says_why(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_store.fill()
    data = sealed_by("3.7.16", BROKEN["code of another arity"], monkeypatch)
    Algorithm.update(fn_build=blobs.put(data)).execute()
    with pytest.raises(TrainingError, match=r"Python 3\.7\.16 stored it, and this is Python"):
        Queue.get_by_id(1).run_jobs(progress=False)


def test_bytecode_of_another_python_is_never_run(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It loads, and may end the process when it is called."""
    payload = capture.capture("fn_lose", lambda **_: 1).payload
    stored = capture.StoredCode.of(payload, "3.10.2")
    with pytest.raises(AlgorithmError, match=r"Python 3\.10\.2 stored it"):
        capture.restore(stored)
    assert capture.restore(capture.StoredCode.of(payload, HERE))() == 1
    assert capture.restore(bytes(payload))() == 1  # as earlier releases handed it on


@pytest.mark.parametrize("payload", BROKEN.values(), ids=BROKEN)
def test_other_pickled_columns_tell_both_versions(
    home: Path, monkeypatch: pytest.MonkeyPatch, payload: bytes
) -> None:
    row = FeatureCoder(sklearn_preprocess=blobs.put(sealed_by("3.7.16", payload, monkeypatch)))
    with pytest.raises(MetastoreError) as caught:
        _ = row.sklearn_preprocess
    assert f"Python 3.7.16 stored it, and this is Python {HERE}" in str(caught.value)
    assert "python 3.7.16 -> " in str(caught.value)
