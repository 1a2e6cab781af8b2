"""Window: it makes overlapping samples of a Feature's rows, and their targets."""

from __future__ import annotations

from typing import Any

from peewee import BooleanField, ForeignKeyField, IntegerField

from aiqc_core.errors import PreprocessError
from aiqc_core.orm.store.model import BaseModel
from aiqc_core.orm.tables.feature import Feature
from aiqc_core.stages.preprocess import window


class Window(BaseModel):
    """Sliding windows, stored as their rule; lists of positions are computed on access."""

    size_window = IntegerField()
    size_shift = IntegerField()
    record_shifted = BooleanField()
    window_count = IntegerField()
    feature = ForeignKeyField(Feature, backref="windows", unique=True)

    @classmethod
    def from_feature(
        cls, feature_id: int, size_window: int, size_shift: int, record_shifted: bool = True
    ) -> Window:
        """Lay windows over the first axis of a Feature; they become its samples.

        `size_shift` is both the step to the next window and the horizon of the forecast: if
        `size_window` is larger, an input overlaps with its own target.

        Args:
            feature_id: the Feature's id; it may have one Window, made before its Splitsets.
            size_window: rows of a window.
            size_shift: rows to the next window, and to a window's target.
            record_shifted: whether there are targets; pure inference has none.

        Raises:
            PreprocessError: a size below 1, too few rows for one window, the Feature has a Window,
                or is used by a Splitset already.
        """
        feature = Feature.get_by_id(feature_id)
        if list(feature.windows):
            message = f"feature_id: Feature {feature.id} has a Window; make another Feature."
            raise PreprocessError(message)
        if list(feature.splitset_uses):
            raise PreprocessError(
                f"feature_id: Feature {feature.id} is cut by a Splitset already, with rows as its "
                "samples. Make the Window first, or another Feature."
            )
        samples = feature.dataset.shape["samples"]
        rule = window.plan(samples, size_window, size_shift, record_shifted)
        return cls.create(
            size_window=rule.size_window,
            size_shift=rule.size_shift,
            record_shifted=rule.record_shifted,
            window_count=rule.count,
            feature=feature,
        )

    def rule(self) -> window.Windows:
        """Return the windows as a value."""
        samples = self.feature.dataset.shape["samples"]
        return window.plan(samples, self.size_window, self.size_shift, bool(self.record_shifted))

    @property
    def samples_unshifted(self) -> list[list[int]]:
        """The rows of each window of the past."""
        return self.rule().unshifted

    @property
    def samples_shifted(self) -> Any:
        """The rows of each window of the future; None where they are not recorded."""
        return self.rule().shifted
