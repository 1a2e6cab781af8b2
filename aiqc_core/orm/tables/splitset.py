"""Splitset and Fold: which rows train, which judge, and the samples made from them."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from peewee import BooleanField, CharField, DeferredForeignKey, ForeignKeyField, IntegerField

from aiqc_core.errors import SelectionError
from aiqc_core.orm.inference import infer as inference
from aiqc_core.orm.samples import cache as sampling
from aiqc_core.orm.samples import leaks
from aiqc_core.orm.samples.split_inputs import (
    given_away,
    grouped_by,
    keys_of,
    listed_ids,
    near_duplicates,
    refuse_as_own_target,
    same_cut,
    sample_count,
    shared_rows,
    sizes_of,
    stratified_by,
)
from aiqc_core.orm.store import numbering
from aiqc_core.orm.store.database import metastore
from aiqc_core.orm.store.fields import JSONField, PickleField, PositionsField, positions_of
from aiqc_core.orm.store.model import BaseModel, rowmethod
from aiqc_core.orm.tables.feature import Feature
from aiqc_core.orm.tables.label import Label
from aiqc_core.stages.split.cut import Cut, cut
from aiqc_core.storage import cache

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from aiqc_core.orm.samples.cache import Fitted

SEED_LIMIT = 2**31


class Splitset(BaseModel):
    """Features and a Label, cut into train, validation and test, and train into Folds."""

    samples = PositionsField()
    sizes = JSONField()
    supervision = CharField()
    has_validation = BooleanField()
    fold_count = IntegerField(null=True)
    bin_count = IntegerField(null=True)
    size_test = JSONField(null=True)
    size_validation = JSONField(null=True)
    unsupervised_stratify_col = CharField(null=True)
    groups = CharField(null=True)
    time_ordered = BooleanField(default=False)
    gap = IntegerField(default=0)
    seed = IntegerField()
    shared_rows = JSONField(null=True)
    near_duplicates = JSONField(null=True)
    given_away = JSONField(null=True)
    key_train = CharField(null=True)
    key_evaluation = CharField(null=True)
    key_test = CharField(null=True)
    version = IntegerField(null=True)
    fitted_preprocessing = PickleField()
    label = ForeignKeyField(Label, backref="splitsets", null=True)
    predictor = DeferredForeignKey("Predictor", backref="inference_splitsets", null=True)

    class Meta:
        indexes = ((("name", "version"), True),)

    @classmethod
    def make(
        cls,
        feature_ids: Sequence[int] | int,
        label_id: int | None = None,
        size_test: float | None = None,
        size_validation: float | None = None,
        bin_count: int | None = None,
        fold_count: int | None = None,
        unsupervised_stratify_col: str | None = None,
        name: str | None = None,
        description: str | None = None,
        predictor_id: int | None = None,
        seed: int | None = None,
        groups: str | None = None,
        time_ordered: bool = False,
        gap: int = 0,
    ) -> Splitset:
        """Cut the samples of Features, stratified by their Label.

        The test split is cut first, then validation (its size is a share of the whole), and what
        is left trains. Everything the cuts draw comes from `seed`.

        Args:
            feature_ids: ids of Features with as many samples as the Label.
            label_id: the Label's id; without one a single Feature is learned from itself: its
                future windows where it has a Window, else its own samples.
            size_test: share of the samples, between 0 and 1, for the test split.
            size_validation: share of all samples for the validation split.
            bin_count: quantiles by which a continuous Label is stratified; 3 by default.
            fold_count: number of cross-validation Folds cut from train.
            unsupervised_stratify_col: without a Label, a column of the first Feature to stratify
                by: of each sample its median, or its commonest value.
            name: makes this cut a version of that name; an equal cut returns the row there is.
            description: what is particular about this cut.
            predictor_id: take all samples for this Predictor to predict: nothing is cut or
                fitted, and columns are matched to what it was trained on by name.
            seed: the draw; `None` draws one, which is stored.
            groups: a column of the Label's Dataset, or of the first Feature's; no group of it is
                in two splits or Folds.
            time_ordered: cut by position, train first; Folds learn from the past only.
            gap: samples left out between the parts of a cut in order.

        Raises:
            SplitError: a split would be empty, a class too small to be in each, a size out of
                range, or the sample counts differ.
            SelectionError: with `predictor_id`, columns that are missing or incompatible.
        """
        features = [Feature.get_by_id(pk) for pk in listed_ids(feature_ids)]
        label = None if label_id is None else Label.get_by_id(label_id)
        samples = sample_count(features, label)
        asked: dict[str, Any] = {
            "size_test": size_test, "size_validation": size_validation, "bin_count": bin_count,
            "fold_count": fold_count, "time_ordered": time_ordered, "gap": gap,
        }  # fmt: skip
        if predictor_id is not None:
            inference.refuse_cut(asked | {"groups": groups, "stratify": unsupervised_stratify_col})
            return cls._to_predict(predictor_id, features, label, (name, description))
        if label is None:
            refuse_as_own_target(features)
        drawn = secrets.randbelow(SEED_LIMIT) if seed is None else seed
        made = cut(
            samples,
            stratify_by=stratified_by(features, label, unsupervised_stratify_col),
            groups=None if groups is None else grouped_by(features, label, groups),
            seed=drawn,
            **asked,
        )
        columns: dict[str, Any] = asked | {
            "label": label,
            "bin_count": made.bin_count,
            "groups": groups,
            "unsupervised_stratify_col": unsupervised_stratify_col,
        }
        sampling.send_positions_ahead(made)
        given = given_away(features, label, made, groups=groups, in_order=time_ordered)
        with metastore.atomic():
            found = same_cut(cls, name, features, seed, columns)
            if found is not None:
                return found
            leaks.warn(given)
            splitset = cls.create(
                samples=cls.samples.store(made.splits),
                sizes=sizes_of(made.splits, samples),
                supervision="unsupervised" if label is None else "supervised",
                has_validation="validation" in made.splits,
                seed=drawn,
                shared_rows=shared_rows(features, made),
                given_away=given,
                version=numbering.next_version(cls, name),
                name=name,
                description=description,
                **keys_of(made),
                **columns,
            )
            _add_parts(splitset, features, made)
        return splitset

    @classmethod
    def _to_predict(
        cls, predictor_id: int, features: list[Feature], label: Label | None, called: Any
    ) -> Splitset:
        predictor = cls.predictor.rel_model.get_by_id(predictor_id)
        inference.match(predictor.job.queue.splitset, features, label)
        with metastore.atomic():
            made, columns = inference.uncut(predictor, features[0].sample_count())
            columns |= {"name": called[0], "description": called[1], "label": label}
            splitset = cls.create(version=numbering.next_version(cls, called[0]), **columns)
            _add_parts(splitset, features, made)
        return splitset

    @rowmethod
    def infer(self, force: bool = False) -> Any:
        """Predict the samples with the Predictor that they were matched to, and store that.

        New rows are filled among themselves; those of the very Dataset that trained, as then.

        Args:
            force: predict again, in the place of the Prediction that there is.

        Returns:
            The Prediction: of the split `infer_<i>`, with metrics where a label is known.

        Raises:
            SplitError: this Splitset was made without `predictor_id`.
            PreprocessError: a category or class that training did not see, or blanks.
        """
        return inference.infer(self, force=force)

    @property
    def judged_on(self) -> str:
        """The split that judges training: the one for evaluation, else the one that trains."""
        return self.key_evaluation or self.key_train or ""

    @property
    def features(self) -> list[Feature]:
        """The Features, in the order in which they were given."""
        return [use.feature for use in sorted(self.feature_uses, key=lambda use: use.idx)]

    @property
    def feature_ids(self) -> list[int]:
        """The ids of the Features, in the order in which they were given."""
        return [use.feature_id for use in sorted(self.feature_uses, key=lambda use: use.idx)]

    @property
    def ordered_folds(self) -> list[Fold]:
        """The Folds by index; empty where there are none."""
        return list(self.folds.order_by(Fold.idx))

    @property
    def fitted(self) -> Fitted | None:
        """What was fitted on the train split; None before the samples are cached."""
        return self.fitted_preprocessing

    def positions(self) -> dict[str, NDArray[np.int64]]:
        """Return `{split: positions}` as arrays."""
        return positions_of(sampling.raw(self, "samples"))

    @property
    def cache_path(self) -> str:
        """The folder of this Splitset's samples: it follows from their content and recipe."""
        return str(sampling.folder_of(self))

    @property
    def cache_hot(self) -> bool:
        """Whether the samples of every split and Fold are in the cache, with their full size."""
        return all(cache.is_whole(sampling.folder_of(self, fold)) for fold in self.parts())

    def parts(self) -> list[Fold | None]:
        """Return the Folds, or `[None]` where there are none."""
        return list(self.ordered_folds) or [None]

    @property
    def leak_report(self) -> dict[str, Any]:
        """What train has in common with the other splits, and what gives the label away.

        `shared_rows`: for windows, by split (and by Fold, where there are some) how many rows it
        shares and their share of train; None without windows. `near_duplicates`: by split how
        many of its rows equal one of train after rounding to 6 digits; None before
        `cache_samples`, and for data that is no table. The others: see `leaking`.
        """
        kept = {"shared_rows": self.shared_rows, "near_duplicates": self.near_duplicates}
        return kept | leaks.shown(self.given_away)

    @rowmethod
    def cache_samples(self) -> None:
        """Write the preprocessed samples of every split and Fold; what is there whole is kept."""
        loaded: dict[int, Any] = {}
        for fold in self.parts():
            sampling.ensure(self, fold, loaded)
        if self.near_duplicates is None and self.features[0].dataset.typ == "tabular":
            self.near_duplicates = near_duplicates(self.features, self.positions(), loaded)
            self.save(only=["near_duplicates", "time_updated"])
        if not leaks.is_read(self):
            self.given_away = leaks.complete(self, loaded)
            self.save(only=["given_away", "time_updated"])

    @rowmethod
    def clear_cache(self) -> None:
        """Delete the cached samples; the next `fetch_cache` or Job builds them again."""
        sampling.clear(self)

    @rowmethod
    def fetch_cache(
        self,
        split: str,
        label_features: str,
        fold_id: int | None = None,
        library: str | None = None,
    ) -> object:
        """Return preprocessed samples, building them where they are missing.

        Args:
            split: `'train'`, `'validation'`, `'test'`, or `'folds_train_combined'` and
                `'fold_validation'` with a Fold.
            label_features: `'label'` or `'features'`.
            fold_id: the Fold's id; needed where there are Folds.
            library: `'pytorch'` for float32 tensors; arrays otherwise.

        Returns:
            A read-only array `(samples, …)`; for `'features'` a list of them when the Splitset
            has several.

        Raises:
            SelectionError: no such split, Fold or part.
        """
        fold = self._checked_fold(fold_id)
        known = list((fold or self).positions())
        if split not in known:
            message = f"split: {split!r} is none of {known}."
            raise SelectionError(message)
        if label_features not in ("label", "features"):
            message = f"label_features: {label_features!r}; give 'label' or 'features'."
            raise SelectionError(message)
        folder = sampling.ensure(self, fold) / split
        return sampling.fetch(folder, label_features, len(self.feature_ids), library)

    def _checked_fold(self, fold_id: int | None) -> Fold | None:
        ids = {fold.id: fold for fold in self.ordered_folds}
        if (fold_id is None) == bool(ids) or (fold_id is not None and fold_id not in [*ids]):
            wanted = f"one of {sorted(ids)}" if ids else "None, this Splitset has no Folds"
            message = f"fold_id: {fold_id!r}; give {wanted}."
            raise SelectionError(message)
        return None if fold_id is None else ids[fold_id]


class SplitsetFeature(BaseModel):
    """The place of a Feature in a Splitset."""

    splitset = ForeignKeyField(Splitset, backref="feature_uses")
    feature = ForeignKeyField(Feature, backref="splitset_uses")
    idx = IntegerField()

    class Meta:
        indexes = ((("splitset", "idx"), True),)


class Fold(BaseModel):
    """One cut of train into the part that trains and the part that is left out."""

    idx = IntegerField()
    samples = PositionsField()
    fitted_preprocessing = PickleField()
    splitset = ForeignKeyField(Splitset, backref="folds")

    class Meta:
        indexes = ((("splitset", "idx"), True),)

    def positions(self) -> dict[str, NDArray[np.int64]]:
        """Return `{split: positions}` as arrays."""
        return positions_of(sampling.raw(self, "samples"))

    @property
    def fitted(self) -> Fitted | None:
        """What was fitted on `folds_train_combined`; None before the samples are cached."""
        return self.fitted_preprocessing

    @property
    def fitted_featurecoders(self) -> object:
        """The fitted coders of each Feature; None before the samples are cached."""
        return None if self.fitted is None else [f.encoders for f in self.fitted.features]

    @property
    def fitted_labelcoder(self) -> object:
        """The fitted coder of the Label; None where there is none."""
        label = None if self.fitted is None else self.fitted.label
        return None if label is None else label.encoder


def clear_cache_all() -> None:
    """Delete the cached samples of all Splitsets."""
    sampling.clear_all()


def _add_parts(splitset: Splitset, features: list[Feature], made: Cut) -> None:
    for idx, feature in enumerate(features):
        SplitsetFeature.create(splitset=splitset, feature=feature, idx=idx)
    for idx in range(len(made.folds)):
        rows = Fold.samples.store(made.fold_splits(idx))
        Fold.create(splitset=splitset, idx=idx, samples=rows)
