"""A15: a stored model is data: loading one that was tampered with runs nothing of it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
import small_training
import torch

from aiqc_core.errors import TrainingError
from aiqc_core.stages.train import run

if TYPE_CHECKING:
    from pathlib import Path


class Hostile:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def load(library: str, folder: Path, model: bytes) -> Any:
    payloads = small_training.make_spec(folder, library).functions
    return run.load_model(library, payloads, model, (3,), (1,), {})


def torch_file(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("wrapped", ["alone", "in the state", "bare pickle"])
def test_a_pickle_in_a_torch_model_is_refused(tmp_path: Path, wrapped: str) -> None:
    hostile = Hostile(tmp_path / "harmed")
    data = {
        "alone": lambda: torch_file(hostile),
        "in the state": lambda: torch_file({"format": 1, "model": hostile, "optimizer": {}}),
        "bare pickle": lambda: pickle.dumps(hostile),
    }[wrapped]()
    with pytest.raises(TrainingError, match=r"its bytes are damaged, or hold code, which is"):
        load("pytorch", tmp_path, data)
    assert not (tmp_path / "harmed").exists()


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 cut short", b"no model"])
def test_a_damaged_torch_model_is_reported(tmp_path: Path, damage: bytes) -> None:
    with pytest.raises(TrainingError, match="cannot be read"):
        load("pytorch", tmp_path, damage)


def test_a_torch_model_of_a_later_program_is_reported(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"format 2, this program reads 1\. Upgrade"):
        load("pytorch", tmp_path, torch_file({"format": 2}))


def keras_model(folder: Path) -> bytes:
    outcome = run.run(small_training.make_spec(folder, "keras"))
    assert outcome.model is not None, outcome.failure
    return outcome.model


def rewritten(data: bytes, change: Any) -> bytes:
    """Return a `.keras` file with another description of its layers; the weights stay."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                config = json.loads(content)
                change(config["config"]["layers"])
                content = json.dumps(config).encode()
            new.writestr(name, content)
    return buffer.getvalue()


def foreign(module: str, name: str, /, **config: Any) -> Any:
    return {"module": module, "class_name": name, "config": config, "registered_name": name}


@pytest.mark.slow
def test_code_in_a_keras_model_is_never_run(tmp_path: Path) -> None:
    """A Lambda of marshalled code, and a class of any module: the weights go into fn_build's."""
    import base64
    import marshal

    harmed = str(tmp_path / "harmed")
    data = keras_model(tmp_path / "samples")
    code = compile(f"lambda x: __import__('os').mkdir({harmed!r}) or x", "hostile", "eval")
    marshalled = base64.b64encode(marshal.dumps(code.co_consts[0])).decode()
    function = {"class_name": "__lambda__", "config": {"code": marshalled, "defaults": None,
                "closure": None}}  # fmt: skip
    hostile = [
        foreign("keras.layers", "Lambda", name="evil", function=function, arguments={}),
        foreign("os", "mkdir", path=harmed),
        foreign("builtins", "exec", source=f"import os; os.mkdir({harmed!r})"),
        foreign("subprocess", "Popen", args=["mkdir", harmed]),
    ]
    expected = load("keras", tmp_path / "samples", data)
    for layer in hostile:
        tampered = rewritten(data, lambda layers, layer=layer: layers.append(layer))
        try:
            model = load("keras", tmp_path / "samples", tampered)
        except TrainingError as error:
            assert "cannot be loaded again" in str(error)  # noqa: PT017 - either will do
        else:
            assert [w.tolist() for w in model.get_weights()] == [
                w.tolist() for w in expected.get_weights()
            ]
        assert not (tmp_path / "harmed").exists()
    with pytest.raises(TrainingError, match=r"cannot be loaded|damaged"):
        load("keras", tmp_path / "samples", data[:200])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Skipping invalid path")  # by which Keras says that it does
def test_a_keras_file_writes_nothing_outside_of_its_folder(tmp_path: Path) -> None:
    """Zip-slip: names in an archive that lead out of where it is unpacked, and a link."""
    data = keras_model(tmp_path / "samples")
    buffer = io.BytesIO(data)
    with zipfile.ZipFile(buffer, "a") as archive:
        for up in ("../" * 8, "assets/" + "../" * 9, "/", "..\\" * 4):
            archive.writestr(f"{up}{str(tmp_path).lstrip('/')}/slipped", b"harm")
        link = zipfile.ZipInfo("assets/link")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, str(tmp_path))
        archive.writestr("assets/link/slipped", b"harm")
    with contextlib.suppress(TrainingError):  # to refuse it is as good as to ignore them
        load("keras", tmp_path / "samples", buffer.getvalue())
    assert not [path for path in tmp_path.rglob("*") if "slipped" in path.name]
