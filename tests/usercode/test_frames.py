"""An error in the user's own code names file, line, function and text, wherever it is raised."""

from __future__ import annotations

import pickle
import re
import signal
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import FunctionTransformer
from small_experiment import declare, fn_build, fn_train
from small_training import make_spec

from aiqc_core import frames
from aiqc_core.errors import IngestError, PreprocessError, TrainingError
from aiqc_core.experiment import Training, declaration
from aiqc_core.orm import Attempt, Dataset, Feature, FeatureCoder, Predictor
from aiqc_core.stages.preprocess import encode
from aiqc_core.stages.train import run

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__)


def patience_of(options: dict[str, int]) -> int:
    """Fail where a key is missing."""
    return options["patience"]


def fails_to_train(*given: Any, **hp: Any) -> Any:
    """Fail in a helper."""

    def nested() -> int:
        return patience_of({})

    return nested()


def fails(*given: Any, **hp: Any) -> Any:
    """Fail at once."""
    raise ValueError("not today")


def fails_to_build(features_shape: Any, label_shape: Any, **hp: Any) -> Any:
    """Fail at once."""
    raise ValueError("not today")


def fails_to_predict(model: Any, features: Any) -> Any:
    """Fail at once."""
    raise ValueError("not today")


class SilentError(RuntimeError):
    """An error of a class that cannot say what it is."""

    def __str__(self) -> str:
        """Fail."""
        raise LookupError


def silent() -> None:
    """Raise it."""
    raise SilentError


def deeper(n: int) -> int:
    """Call itself without an end."""
    return deeper(n + 1)


def several() -> None:
    """Raise as a group of tasks does."""
    try:
        fails()
    except ValueError as error:
        raise ExceptionGroup("tasks failed.", [error, KeyError("b")]) from None


def line_of(text: str) -> int:
    """Return the number of the only line of this file that begins so."""
    lines = HERE.read_text().splitlines()
    (found,) = [i for i, line in enumerate(lines, 1) if line.strip().startswith(text)]
    return found


def trained(**functions: Any) -> Any:
    """Declare a small experiment with other functions."""
    given = {"fn_build": fn_build, "fn_train": fn_train} | functions
    return declare(
        fold_count=None,
        training=Training(
            library="pytorch", analysis_type="classification_binary",
            hyperparameters={"epochs": [1]}, permute_count=0, **given,
        ),
    )  # fmt: skip


@pytest.mark.parametrize("workers", [None, 2])
def test_a_failed_training_names_the_users_frames(home: Path, workers: int | None) -> None:
    with pytest.raises(TrainingError) as caught:
        trained(fn_train=fails_to_train).run(workers=workers)
    message = str(caught.value)
    at = f'{HERE}:{line_of("return options[")} in patience_of: `return options["patience"]`'
    called = f"{HERE}:{line_of('return patience_of(')} in nested: `return patience_of({{}})`"
    assert at in message
    assert called in message
    assert "run again to retry" not in message
    assert "patience" in str(caught.value.__cause__)
    assert isinstance(caught.value.__cause__, KeyError if workers is None else Exception)
    assert at in (Attempt.select().first().reason or "")


@pytest.mark.parametrize(
    ("role", "function"),
    [
        ("fn_build", fails_to_build), ("fn_lose", fails), ("fn_optimize", fails),
        ("fn_predict", fails_to_predict), ("fn_train", fails),
    ],
)  # fmt: skip
def test_each_function_of_the_users_is_named(
    tmp_path: Path, role: str, function: Callable[..., Any]
) -> None:
    outcome = run.run(make_spec(tmp_path, **{role: function}))
    assert outcome.failure is not None
    text = 'raise ValueError("not today")'
    assert f"in {function.__name__}: `{text}`" in outcome.failure.message
    assert isinstance(outcome.failure.error, ValueError)
    assert pickle.loads(pickle.dumps(outcome.failure)).error is None  # noqa: S301 - our own


@pytest.mark.parametrize(
    ("raises", "said"),
    [
        (lambda: exec("assert []"), r"^AssertionError, at "),  # noqa: S102 - a line without text
        (lambda: deeper(0), r"depth exceeded.* in deeper: `return deeper\(n \+ 1\)` \(\d+ times"),
        (silent, r"^SilentError: <its __str__ raised LookupError>, at "),
        (several, r"2 sub-exceptions\): ValueError: not today, at .*; KeyError: 'b', at .* in s"),
    ],
)  # fmt: skip
def test_the_place_follows_the_error_and_what_is_kept_the_place(
    tmp_path: Path, raises: Callable[[], Any], said: str
) -> None:
    def raised(*given: Any, **hp: Any) -> Any:
        raises()

    outcome = run.run(make_spec(tmp_path, fn_train=raised))
    assert outcome.failure is not None
    assert re.search(said, outcome.failure.message, re.DOTALL)
    assert not re.search(r"\.,|: \s|: ,", outcome.failure.message)
    assert outcome.failure.message.count("`return deeper(n + 1)`") < 2


def test_what_is_kept_is_said_after_the_place(tmp_path: Path) -> None:
    spec = make_spec(tmp_path / "samples", fn_predict=fails_to_predict)
    outcome = run.run(replace(spec, checkpoint=str(tmp_path / "checkpoint")))
    assert outcome.failure is not None
    kept = r"not today, at .*\)`\. What was trained is kept in \S+, as weights\. \(hyper"
    assert re.search(kept, outcome.failure.message)


def test_ctrl_c_that_a_training_catches_ends_the_run_and_records_nothing(home: Path) -> None:
    def catches(model: Any, *given: Any, **hp: Any) -> Any:
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            return model

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match="caught Ctrl-C"):
        trained(fn_train=catches).run(snapshot="s")
    assert signal.getsignal(signal.SIGINT) is before
    assert [attempt.status for attempt in Attempt.select()] == ["lost"]
    assert Predictor.select().count() == 0


def test_a_file_that_changed_since_shows_the_text_that_was_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mine.py"
    text = "def train(*given, **hp):\n    return helper()\n\n\ndef helper():\n    return {}['a']\n"
    file.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    import mine  # pyright: ignore[reportMissingImports]

    def fn_train(m: Any, lo: Any, o: Any, x: Any, y: Any, ex: Any, ey: Any, **hp: Any) -> Any:
        return mine.train()

    spec = make_spec(tmp_path / "samples", fn_train=fn_train)
    file.write_text("# nothing of it is left\n" * 9)
    outcome = run.run(spec)
    assert outcome.failure is not None
    assert f"{file}:6 in helper (hyper" in outcome.failure.message
    assert "`return mine.train()`" in outcome.failure.message


def test_a_source_and_the_functions_of_encoders_are_named(home: Path) -> None:
    with pytest.raises(IngestError, match=r"source of 'updown': .* in fails: `raise") as caught:
        declare(source=fails).load()
    assert isinstance(caught.value.__cause__, ValueError)
    frame = pd.DataFrame({"a": [1.0, 2.0]})
    feature = Feature.from_dataset(Dataset.Tabular.from_df(frame).id)
    with pytest.raises(PreprocessError, match=r"test_frames.py:\d+ in fails: `raise"):
        FeatureCoder.from_feature(feature.id, FunctionTransformer(fails))

    def only_few(values: Any) -> Any:
        return values if len(values) < 5 else fails()

    coder = FunctionTransformer(only_few, inverse_func=only_few)
    fitted = encode.fit(frame, encode.checked(coder))
    many = pd.DataFrame({"a": np.arange(9.0)})
    with pytest.raises(PreprocessError, match=r"in only_few: .* > .* in fails: `raise"):
        encode.apply(fitted, many)
    with pytest.raises(PreprocessError, match=r"cannot decode: .*, at .* in fails: `raise"):
        encode.invert(fitted, many.to_numpy())


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("def f():\n    return {}['k']\n\n\nf()\n", 2, "KeyError: 'k', in f: `return {}['k']`"),
        ("a = 1\nb = = 2\n", 2, "SyntaxError: invalid syntax: `b = = 2`"),
        ("import json\njson.loads('{')\n", 2, "in <module>: `json.loads('{')`"),
        (f"{{}}['k'] + '{'a' * 900}'\n", 1, "aaa…`"),
    ],
)
def test_a_declaration_that_raises_on_import_is_named(
    tmp_path: Path, text: str, line: int, said: str
) -> None:
    (tmp_path / "experiment.py").write_text(text)
    ((fault,),) = [found.faults for found in declaration.discover(tmp_path)]
    assert (fault.file.name, fault.line) == ("experiment.py", line)
    assert said in fault.message


def test_code_that_is_not_the_users_is_left_out() -> None:
    with pytest.raises(ValueError, match="could not convert") as caught:
        np.asarray(["a"]).astype(float)
    assert [frame.file for frame in frames.of_error(caught.value)] == [str(HERE)]
    assert frames.is_users("<stdin>")
    assert not frames.is_users(np.__file__)
    assert not frames.is_users(pickle.__file__)
    assert not frames.is_users(run.__file__)


def test_a_prediction_that_fails_in_the_users_code_has_a_note() -> None:
    with pytest.raises(ValueError, match="not today") as caught, frames.notes_on_errors():
        fails()
    assert "in fails: `raise ValueError" in caught.value.__notes__[0]
