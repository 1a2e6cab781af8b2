from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from aiqc_core.stages.preprocess import values


@pytest.mark.parametrize("dtype", ["float64", "float32", "int8", "bool", "uint64"])
@pytest.mark.parametrize("rows", [1, values.BLOCK_ROWS, 2 * values.BLOCK_ROWS + 3])
def test_rows_lie_together_and_are_what_they_were(dtype: str, rows: int) -> None:
    numbers = np.random.default_rng(0).integers(0, 100, (rows, 3)).astype(dtype)
    frame = pd.DataFrame({name: numbers[:, i] for i, name in enumerate("bac")})
    moved = values.row_major(frame)
    pd.testing.assert_frame_equal(moved, frame)
    assert moved.to_numpy().flags.c_contiguous
    assert moved.iloc[[0, rows - 1]].to_numpy().flags.c_contiguous


def test_columns_of_several_dtypes_stay_as_they_are() -> None:
    for frame in (
        pd.DataFrame({"a": [1.0], "b": [1]}),
        pd.DataFrame({"a": ["x"], "b": ["y"]}),
        pd.DataFrame({"a": [1, None]}, dtype="Int64"),
    ):
        assert values.row_major(frame) is frame
