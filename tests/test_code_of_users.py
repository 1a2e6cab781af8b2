"""Code of a project: an edit trains again, and what is stored needs the project no more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

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
    import functools, json, sys
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
        "d": FunctionTransformer(lambda x: np.asarray(x) - 1.0),
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
    if __name__ == "__main__":
        experiment = Experiment(name="mine", source=source, pipeline=pipeline, training=training)
        before = Predictor.select().count()
        queue = experiment.run(workers=int(sys.argv[1]))
        model, _ = queue.jobs[0].predictors[0].get_model()
        trained = Predictor.select().count() - before
        print(json.dumps([queue.id, trained, model.first.out_features]))
"""
ELSEWHERE = """
    import json, sys
    import numpy as np, pandas as pd
    from aiqc_core.orm import Dataset, Feature, Predictor, Splitset

    first, last = Predictor.get_by_id(1), Predictor.select().order_by(Predictor.id.desc()).get()
    x = np.linspace(-1, 1, 4)
    rows = pd.DataFrame({"a": x, "b": x**2, "c": x, "d": x, "t": ["u v"] * 4})
    feature = Feature.from_dataset(Dataset.Tabular.from_df(rows).id)
    inferred = Splitset.make([feature.id], predictor_id=first.id).infer()
    told = {
        "predicted": first.predict(rows)["y"].tolist(),
        "inferred": np.ravel(next(iter(inferred.predictions.values()))).tolist(),
        "reproduced": first.reproduce().verdict,
        "differs": [d.ancestor for d in first.diff(last).differences],
        "code": first.job.queue.algorithm.get_code()["fn_build"],
        "project": "helpers" in sys.modules,
    }
    print(json.dumps(told))
"""


class Project:
    """A script and a module beside it, and the store that they fill."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store = folder / "project", folder / "store"
        self.empty = folder / "empty"
        self.folder.mkdir()
        self.empty.mkdir()
        for name, text in {"helpers.py": HELPERS, "main.py": MAIN}.items():
            (self.folder / name).write_text(textwrap.dedent(text))

    def edit(self, name: str, old: str, new: str) -> None:
        """Change a file."""
        path = self.folder / name
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    def run(self, workers: int = 1) -> Any:
        """Run the script; returns the Queue's id, how many were trained, and the model's width."""
        return self.process([str(self.folder / "main.py"), str(workers)])

    def elsewhere(self) -> Any:
        """Use the store in a folder without the project."""
        return self.process(["-c", textwrap.dedent(ELSEWHERE)])

    def process(self, arguments: list[str]) -> Any:
        """Run Python, and return what it prints last."""
        environment = {**os.environ, "AIQC_HOME": str(self.store), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            [sys.executable, *arguments], cwd=self.empty, capture_output=True, text=True,
            check=False, env=environment,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("main.py", "width, gain = 5, helpers.Gain()", "width, gain = 9, helpers.Gain()"),
        ("helpers.py", "FACTOR = 2.0", "FACTOR = 4.0"),
    ],
)
def test_an_edit_trains_again_and_a_comment_does_not(
    tmp_path: Path, name: str, old: str, new: str
) -> None:
    project = Project(tmp_path)
    assert project.run() == [1, 1, 5]
    project.edit(name, old, f"{new}  # edited")
    width = 9 if "9" in new else 5
    assert project.run() == [2, 1, width]
    project.edit(name, "  # edited", "")
    project.edit("main.py", "class Net", "# a comment\n\n\nclass Net")
    assert project.run() == [2, 0, width]


@pytest.mark.slow
def test_what_was_stored_needs_the_project_no_more(tmp_path: Path) -> None:
    """Encoders of the user's functions and classes, on workers too, used where they are not."""
    project = Project(tmp_path)
    assert project.run(workers=2) == [1, 1, 5]
    project.edit("main.py", "width, gain = 5", "width, gain = 9")
    assert project.run(workers=2) == [2, 1, 9]
    told = project.elsewhere()
    assert np.allclose(told["predicted"], told["inferred"])
    assert told["reproduced"] == "bit-equal"
    assert told["differs"] == ["code, fn_build", "weights"]
    assert told["code"].startswith(
        "def fn_build(features_shape, label_shape, **hp):\n    return Net"
    )
    assert told["project"] is False
