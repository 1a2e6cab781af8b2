"""Cached arrays against scikit-learn's ColumnTransformer, fitted by hand on the same rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from sklearn import preprocessing as sk
from sklearn.compose import ColumnTransformer

from aiqc_core.orm import Dataset, Feature, FeatureCoder, Label, LabelCoder, Splitset

if TYPE_CHECKING:
    from pathlib import Path


def frame(rows: int, seed: int) -> pd.DataFrame:
    """Numbers of several scales and dtypes, words, truth values, and two classes."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "age": rng.integers(1, 90, rows),
            "income": rng.lognormal(8, 2, rows),
            "weight": rng.normal(70, 12, rows).astype("float32"),
            "colour": rng.choice(["red", "green", "blue"], rows),
            "member": rng.random(rows) < 0.5,
            "grade": rng.choice([1, 2, 3], rows),
            "score": rng.normal(size=rows),
            "kind": np.where(np.arange(rows) % 3 == 0, "rare", "usual"),
        }
    )


CODERS = {
    "income": sk.PowerTransformer(),
    "age": sk.KBinsDiscretizer(3, strategy="uniform", encode="onehot-dense"),
    "colour": sk.OneHotEncoder(sparse_output=False),
    "weight": sk.RobustScaler(),
    "grade": sk.OrdinalEncoder(),
}


@pytest.mark.filterwarnings("ignore:column", "ignore:fold_count")
@pytest.mark.parametrize(("rows", "seed"), [(33, 1), (60, 2)])
def test_a_table_with_several_coders_is_what_a_column_transformer_gives(
    home: Path, rows: int, seed: int
) -> None:
    data = frame(rows, seed)
    dataset = Dataset.Tabular.from_df(data)
    feature = Feature.from_dataset(dataset.id, exclude_columns=["kind"])
    for column, encoder in CODERS.items():
        FeatureCoder.from_feature(feature.id, encoder, columns=[column])
    label = Label.from_dataset(dataset.id, "kind")
    LabelCoder.from_label(label.id, sk.OneHotEncoder())
    splitset = Splitset.make([feature.id], label.id, size_test=0.2, fold_count=2, seed=seed)

    everything = {name: [sorted(data[name].unique())] for name in ("colour", "grade")}
    by_hand = ColumnTransformer(
        [
            (name, encoder.set_params(**({"categories": everything[name]} if name in everything
                                         else {})), [name])
            for name, encoder in ((n, e.__class__(**e.get_params())) for n, e in CODERS.items())
        ],
        remainder="passthrough",
        verbose_feature_names_out=False,
    )  # fmt: skip
    kinds = sk.OneHotEncoder(sparse_output=False).fit(data[["kind"]])
    splitset.cache_samples()
    for fold in splitset.ordered_folds:
        positions = fold.positions()
        by_hand.fit(data.iloc[positions["folds_train_combined"]].drop(columns="kind"))
        for split, taken in positions.items():
            part = data.iloc[taken]
            given_back = splitset.fetch_cache(split, "features", fold_id=fold.id)
            expected = by_hand.transform(part.drop(columns="kind")).astype(float)
            np.testing.assert_allclose(given_back, expected, rtol=1e-6, atol=1e-9)
            targets = splitset.fetch_cache(split, "label", fold_id=fold.id)
            np.testing.assert_array_equal(targets, kinds.transform(part[["kind"]]))
        names = fold.fitted.features[0].output_columns
        assert list(names[-2:]) == list(by_hand.get_feature_names_out()[-2:])
        assert [n for n in names if n.startswith("colour")] == [
            n for n in by_hand.get_feature_names_out() if n.startswith("colour")
        ]
