"""Splitset and Fold: the rows that train, validate and test, and the samples made from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from peewee import BooleanField, CharField, DeferredForeignKey, ForeignKeyField, IntegerField

from aiqc_core.orm.store.fields import JSONField, PickleField, PositionsField, positions_of, raw
from aiqc_core.orm.store.model import BaseModel
from aiqc_core.orm.store.operation import LazyModule, derived, maker, operation
from aiqc_core.orm.tables.feature import Feature
from aiqc_core.orm.tables.label import Label

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from aiqc_core.orm.inference import infer as inference
    from aiqc_core.orm.samples import cache, cut_splitset, leaks, prepare
else:
    inference = LazyModule("aiqc_core.orm.inference.infer")
    cache = LazyModule("aiqc_core.orm.samples.cache")
    cut_splitset = LazyModule("aiqc_core.orm.samples.cut_splitset")
    leaks = LazyModule("aiqc_core.orm.samples.leaks")
    prepare = LazyModule("aiqc_core.orm.samples.prepare")

SEED_LIMIT = 2**31


class _Split:
    fitted = derived(cache.fitted)

    def positions(self) -> dict[str, NDArray[np.int64]]:
        """Return `{split: positions}` as arrays."""
        return positions_of(raw(self, "samples"))


class Splitset(_Split, BaseModel):
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

    make = maker(cut_splitset.make)
    infer = operation(inference.infer)
    cache_path = derived(cache.cache_path)
    cache_hot = derived(cache.cache_hot)
    leak_report = derived(leaks.leak_report)
    cache_samples = operation(prepare.cache_samples)
    clear_cache = operation(cache.clear_cache)
    fetch_cache = operation(cache.fetch_cache)

    @property
    def judged_on(self) -> str:
        """The split that ranks trainings: that for evaluation, else the one that trains."""
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

    def parts(self) -> list[Fold | None]:
        """Return the Folds, or `[None]` where there are none."""
        return list(self.ordered_folds) or [None]


class SplitsetFeature(BaseModel):
    """The place of a Feature in a Splitset."""

    splitset = ForeignKeyField(Splitset, backref="feature_uses")
    feature = ForeignKeyField(Feature, backref="splitset_uses")
    idx = IntegerField()

    class Meta:
        indexes = ((("splitset", "idx"), True),)


class Fold(_Split, BaseModel):
    """One cut of the train split into a part that trains and a part that is left out."""

    idx = IntegerField()
    samples = PositionsField()
    fitted_preprocessing = PickleField()
    splitset = ForeignKeyField(Splitset, backref="folds")

    class Meta:
        indexes = ((("splitset", "idx"), True),)

    @property
    def fitted_featurecoders(self) -> object:
        """The fitted coders of each Feature; None before the samples are cached."""
        return None if self.fitted is None else [f.encoders for f in self.fitted.features]

    @property
    def fitted_labelcoder(self) -> object:
        """The fitted coder of the Label; None where there is none."""
        label = None if self.fitted is None else self.fitted.label
        return None if label is None else label.encoder
