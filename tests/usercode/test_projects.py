"""Code of a project: an edit trains again, and what is stored needs the project no more."""

from __future__ import annotations

import runpy
import sys
import textwrap
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

from aiqc_core.orm import Dataset, Feature, Predictor, Splitset

if TYPE_CHECKING:
    from pathlib import Path

HELPERS = """
    import numpy as np

    FACTOR = 2.0

    def times(x, by=1.0):
        return np.asarray(x, dtype=float) * FACTOR * by

    def back(x, by=1.0):
        return np.asarray(x, dtype=float) / FACTOR / by

    class Gain:
        strength = 1.0

        def of(self, x):
            return x * self.strength
"""
MAIN = """
    import functools, importlib, sys
    import numpy as np, pandas as pd
    import helpers
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.preprocessing import FunctionTransformer, StandardScaler
    from torch import nn
    from aiqc_core.experiment import Experiment, FeatureEncoder, Pipeline, Training
    from aiqc_core.orm import Predictor
    from aiqc_core.utils.pytorch import fit

    SHIFT = 1.0

    def source():
        x = np.random.default_rng(0).normal(size=60)
        words = ["u v", "v w", "w"] * 20
        return pd.DataFrame({"a": x, "b": x**2, "c": x, "d": x, "t": words, "y": 3 * x})

    def shifted(x):
        return np.asarray(x, dtype=float) + SHIFT

    def by_text(x):
        return importlib.import_module("helpers").times(x)

    def words(text):
        return text.split(" ")

    class Halver(StandardScaler):
        def transform(self, X, copy=None):
            return super().transform(X) / 2

    class Net(nn.Module):
        width, gain = 5, helpers.Gain()

        def __init__(self, inputs, outputs):
            super().__init__()
            self.first, self.last = nn.Linear(inputs, self.width), nn.Linear(self.width, outputs)

        def forward(self, x):
            return self.gain.of(self.last(self.first(x)))

    def fn_build(features_shape, label_shape, **hp):
        return Net(features_shape[0], label_shape[0])

    def fn_train(model, loser, optimizer, x, y, eval_x, eval_y, **hp):
        return fit(model, loser, optimizer, x, y, eval_x, eval_y, epochs=1, batch_size=16)

    by_two = {"kw_args": {"by": 2.0}, "inv_kw_args": {"by": 2.0}}
    encoders = {
        "a": FunctionTransformer(shifted),
        "b": Halver(),
        "c": FunctionTransformer(functools.partial(helpers.times, by=3.0)),
        "d": FunctionTransformer(by_text),
        "t": TfidfVectorizer(tokenizer=words, token_pattern=None),
    }
    pipeline = Pipeline(
        label="y",
        label_encoder=FunctionTransformer(helpers.times, inverse_func=helpers.back, **by_two),
        feature_encoders=[FeatureEncoder(encoder=e, columns=[c]) for c, e in encoders.items()],
        size_test=0.2, size_validation=0.2,
    )
    training = Training(library="pytorch", analysis_type="regression", fn_build=fn_build,
        fn_train=fn_train, permute_count=0)
    before = Predictor.select().count()
    experiment = Experiment(name="mine", source=source, pipeline=pipeline, training=training)
    queue = experiment.run()
    model, _ = queue.jobs[0].predictors[0].get_model()
    found = [queue.id, Predictor.select().count() - before, model.first.out_features]
"""


@pytest.fixture
def project(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A script and a module beside it."""
    folder = tmp_path / "project"
    folder.mkdir()
    for name, text in {"helpers.py": HELPERS, "main.py": MAIN}.items():
        (folder / name).write_text(textwrap.dedent(text))
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return folder


def edit(path: Path, old: str, new: str) -> None:
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def run(project: Path) -> list[int]:
    """Run the script; returns the Queue's id, how many were trained, and the model's width."""
    sys.modules.pop("helpers", None)
    return runpy.run_path(str(project / "main.py"), run_name="__main__")["found"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("main.py", "width, gain = 5, helpers.Gain()", "width, gain = 9, helpers.Gain()"),
        ("helpers.py", "FACTOR = 2.0", "FACTOR = 4.0"),
    ],
)
def test_an_edit_trains_again_and_a_comment_does_not(
    project: Path, name: str, old: str, new: str
) -> None:
    assert run(project) == [1, 1, 5]
    edit(project / name, old, f"{new}  # edited")
    width = 9 if "9" in new else 5
    assert run(project) == [2, 1, width]
    edit(project / name, "  # edited", "")
    edit(project / "main.py", "class Net", "# a comment\n\n\nclass Net")
    assert run(project) == [2, 0, width]


@pytest.mark.slow
def test_what_a_text_finds_is_said_and_trains_again(project: Path) -> None:
    edit(project / "main.py", "return Net(", "return getattr(sys.modules[__name__], 'Net')(")
    for number in (1, 2):
        with (
            pytest.warns(UserWarning, match="stored function.* finds code by a text, sys.modules"),
            pytest.warns(UserWarning, match="fn_build: finds code by a text: sys.modules"),
        ):
            assert run(project) == [number, 1, 5]


@pytest.mark.slow
def test_what_was_stored_needs_the_project_no_more(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Encoders of the user's functions and classes, used where these are not: here and again."""
    assert run(project) == [1, 1, 5]
    edit(project / "main.py", "width, gain = 5", "width, gain = 9")
    assert run(project) == [2, 1, 9]
    project.rename(project.with_name("away"))
    del sys.modules["helpers"]
    first, last = Predictor.get_by_id(1), Predictor.get_by_id(2)
    x = np.linspace(-1, 1, 4)
    rows = pd.DataFrame({"a": x, "b": x**2, "c": x, "d": x, "t": ["u v"] * 4})
    feature = Feature.from_dataset(Dataset.Tabular.from_df(rows).id)
    inferred = Splitset.make([feature.id], predictor_id=first.id).infer()
    assert np.allclose(first.predict(rows)["y"], np.ravel(inferred.predictions["infer_0"]))
    assert first.reproduce().verdict == "bit-equal"
    assert [d.ancestor for d in first.diff(last).differences] == ["code, fn_build", "weights"]
    assert first.job.queue.algorithm.get_code()["fn_build"].startswith(
        "def fn_build(features_shape, label_shape, **hp):\n    return Net"
    )
    assert "helpers" not in sys.modules
