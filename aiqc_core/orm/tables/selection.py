"""What a Feature and a Label share as columns of a Dataset, and their coders as filters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiqc_core.orm.store.operation import operation
from aiqc_core.stages.ingest.selection import checked_columns, listed
from aiqc_core.stages.preprocess.columns import dtype_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from aiqc_core.stages.preprocess.columns import Selection


class DatasetColumns:
    """Reads the row's `columns` of its `dataset`, or some of them."""

    if TYPE_CHECKING:
        columns: Any
        dataset: Any

    @operation
    def to_df(
        self, columns: Sequence[str] | None = None, samples: Sequence[int] | None = None
    ) -> pd.DataFrame:
        """Return rows of these columns, or of some of them; see `Dataset.to_df`."""
        return self.dataset.to_df(checked_columns("columns", columns, self.columns), samples)

    @operation
    def to_arr(
        self, columns: Sequence[str] | None = None, samples: Sequence[int] | None = None
    ) -> NDArray[Any]:
        """Return rows as an array `(samples, columns)`; see `Dataset.to_arr`."""
        return self.dataset.to_arr(checked_columns("columns", columns, self.columns), samples)

    @operation
    def get_dtypes(self, columns: Sequence[str] | None = None) -> dict[str, str]:
        """Return `{column: dtype}` of these columns, or of some of them."""
        return self.dataset.get_dtypes(checked_columns("columns", columns, self.columns))


def matched(
    chosen: Selection,
    dtypes: Sequence[str] | None,
    columns: Sequence[str] | None,
    *,
    include: bool = True,
) -> dict[str, Any]:
    """Return what a coder or an interpolater of a Feature stores of its filter."""
    original = {"include": include, "dtypes": dtype_names(dtypes), "columns": listed(columns)}
    return {
        "matching_columns": chosen.matching,
        "leftover_columns": chosen.leftover,
        "leftover_dtypes": chosen.leftover_dtypes,
        "original_filter": original,
    }
