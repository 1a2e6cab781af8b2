"""What a classifier's outputs mean, from the declaration to the prediction of one row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import small_experiment

from aiqc_core.errors import AlgorithmError
from aiqc_core.experiment import Training
from aiqc_core.experiment.workflow import versions
from aiqc_core.orm import Algorithm, Predictor

ROWS = small_experiment.source(4)[["x", "z"]]


def linear(features_shape: Any, label_shape: Any, **hp: Any) -> Any:
    """Logits, which a layer of its own hides."""
    from torch import nn

    class Logits(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(features_shape[0], label_shape[0])

        def forward(self, x: Any) -> Any:
            return 3 * self.layer(x)

    return Logits()


def hidden_softmax(features_shape: Any, label_shape: Any, **hp: Any) -> Any:
    """Two softmaxes, of which the graph shows a mean, so that the values decide."""
    import torch
    from torch import nn

    class Mean(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one = nn.Linear(features_shape[0], label_shape[0])
            self.other = nn.Linear(features_shape[0], label_shape[0])

        def forward(self, x: Any) -> Any:
            parts = [torch.softmax(layer(x), dim=1) for layer in (self.one, self.other)]
            return torch.stack(parts).mean(dim=0)

    return Mean()


def declare(**changes: Any) -> Any:
    given: dict[str, Any] = {
        "library": "pytorch", "analysis_type": "classification_binary",
        "fn_build": linear, "fn_train": small_experiment.fn_train,
        "hyperparameters": {"epochs": [2]}, "permute_count": 0,
    }  # fmt: skip
    return small_experiment.declare(fold_count=None, training=Training(**(given | changes)))


def output(predictor: Predictor) -> np.ndarray:
    """Run the model by hand over the samples of the test split."""
    import torch

    model, _ = predictor.get_model()
    splitset = predictor.job.queue.splitset
    samples = splitset.fetch_cache("test", "features", library="pytorch")
    with torch.no_grad():
        return model(samples).numpy()


def test_stated_logits_are_declared_trained_and_predicted_as_such() -> None:
    """The default loss takes logits, and the sigmoid makes probabilities of them, once."""
    (predictor,) = declare(outputs="logits").run().jobs[0].predictors
    assert predictor.outputs == {"kind": "logits", "how": "stated"}
    expected = 1 / (1 + np.exp(-output(predictor)[:, 0]))
    found = predictor.prediction.probabilities["test"]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    again = predictor.predict(ROWS)
    sure = again["probability_up"].to_numpy()
    assert ((sure > 0) & (sure < 1)).all()
    one = predictor.predict(ROWS.head(1))["probability_up"].to_numpy()
    np.testing.assert_allclose(one, sure[:1], atol=1e-6)


def test_what_training_guessed_is_stored_said_and_kept_for_one_row(
    caplog: pytest.LogCaptureFixture,
) -> None:
    from sklearn.preprocessing import OneHotEncoder

    experiment = declare(analysis_type="classification_multi", fn_build=hidden_softmax)
    coded = experiment.pipeline.model_copy(update={"label_encoder": OneHotEncoder()})
    queue = experiment.model_copy(update={"pipeline": coded}).run()
    (predictor,) = queue.jobs[0].predictors
    assert predictor.outputs == {"kind": "probabilities", "how": "values"}
    assert "That is a guess" in predictor.prediction.metric_notes["train"]["outputs"]
    assert "outputs='probabilities'" in caplog.text
    np.testing.assert_allclose(
        predictor.prediction.probabilities["test"], output(predictor), atol=1e-6
    )
    with pytest.warns(UserWarning, match="That is a guess"):
        said = predictor.predict(ROWS)
    assert "guess" in said.attrs["metric_notes"]["outputs"]
    assert "guess" in predictor.predict(ROWS).attrs["metric_notes"]["outputs"]  # warned of once


def test_stated_outputs_are_part_of_what_is_declared() -> None:
    """Another statement is another training; none leaves the digests as they were."""
    plain, stated, other = (declare(outputs=o) for o in (None, "logits", "probabilities"))
    digests = [versions.code_version(each, "predictor") for each in (plain, stated, other)]
    assert len(set(digests)) == 3
    assert versions.code_version(declare(), "predictor") == digests[0]


@pytest.mark.parametrize(
    ("analysis", "outputs", "hint"),
    [
        ("classification_multi", "odds", "outputs: 'odds' is none of"),
        ("regression", "logits", "outputs: 'logits' is for classifications"),
    ],
)
def test_outputs_that_cannot_be_are_refused(analysis: str, outputs: Any, hint: str) -> None:
    functions = (small_experiment.fn_build, small_experiment.fn_train)
    with pytest.raises(AlgorithmError, match=hint):
        Algorithm.make("pytorch", analysis, *functions, outputs=outputs)
    with pytest.raises(ValueError, match="outputs"):
        declare(analysis_type=analysis, outputs=outputs)
