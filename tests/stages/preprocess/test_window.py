from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiqc_core.errors import PreprocessError, SelectionError
from aiqc_core.stages.preprocess import window

if TYPE_CHECKING:
    from aiqc_core.stages.preprocess.window import Windows


@st.composite
def laid(draw: st.DrawFn) -> Windows:
    """Windows of any sizes over just enough rows, or more."""
    size, shift, shifted = draw(st.integers(1, 8)), draw(st.integers(1, 6)), draw(st.booleans())
    samples = size + shift * shifted + draw(st.integers(0, 25))
    return window.plan(samples, size, shift, record_shifted=shifted)


def backwards(windows: Windows) -> list[list[int]]:
    """Lay the last window flush with the last row, and walk back from there."""
    end = windows.samples - (windows.size_shift if windows.record_shifted else 0)
    found = []
    while end - windows.size_window >= 0:
        found.insert(0, list(range(end - windows.size_window, end)))
        end -= windows.size_shift
    return found


def test_the_example_of_the_ruling_holds() -> None:
    windows = window.plan(11, 3, 2)
    assert windows.count == 4
    assert windows.unshifted == [[0, 1, 2], [2, 3, 4], [4, 5, 6], [6, 7, 8]]
    assert windows.shifted == [[2, 3, 4], [4, 5, 6], [6, 7, 8], [8, 9, 10]]


@given(laid())
def test_windows_equal_a_walk_back_from_the_last_row(windows: Windows) -> None:
    expected = backwards(windows)
    assert windows.unshifted == expected
    assert len(expected) == windows.count
    assert [windows.start(idx) for idx in range(windows.count)] == [rows[0] for rows in expected]
    if windows.record_shifted:
        later = [[row + windows.size_shift for row in rows] for rows in expected]
        assert windows.shifted == later
        assert later[-1][-1] == windows.samples - 1
        assert len(set(expected[0]) & set(later[0])) == windows.overlap
        assert windows.start(0, shifted=True) == later[0][0]
    else:
        assert windows.shifted is None
        assert windows.overlap == 0


@given(windows=laid(), rest=st.sampled_from([(), (2,), (2, 3)]), fortran=st.booleans())
def test_a_view_equals_a_written_loop_over_any_shape_and_layout(
    *, windows: Windows, rest: tuple[int, ...], fortran: bool
) -> None:
    array = np.arange(windows.samples * int(np.prod(rest))).reshape(windows.samples, *rest)
    array = np.asfortranarray(array) if fortran else array
    for shifted, written in ((False, windows.unshifted), (True, windows.shifted)):
        if written is not None:
            seen = window.view(array, windows, shifted=shifted)
            assert np.array_equal(seen, np.stack([array[rows] for rows in written]))
            assert np.shares_memory(seen, array)
            assert not seen.flags.writeable


@given(laid(), st.data())
def test_rows_of_windows_equal_the_union_of_their_lists(
    windows: Windows, data: st.DataObject
) -> None:
    chosen = data.draw(st.lists(st.integers(0, windows.count - 1), max_size=8))
    past = {row for idx in chosen for row in windows.unshifted[idx]}
    future = {row for idx in chosen for row in (windows.shifted or windows.unshifted)[idx]}
    assert windows.rows(chosen, shifted=False).tolist() == sorted(past)
    assert windows.rows(chosen, shifted=None).tolist() == sorted(past | future)
    if windows.record_shifted:
        assert windows.rows(chosen, shifted=True).tolist() == sorted(future)


def test_windows_over_a_million_rows_cost_no_memory() -> None:
    array = np.zeros((1_000_000, 2))
    tracemalloc.start()
    windows = window.plan(len(array), 100, 1)
    seen = window.view(array, windows, shifted=True)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seen.shape == (999_900, 100, 2)
    assert peak < 100_000


def test_a_memory_mapped_array_is_not_read(tmp_path: Any) -> None:
    np.save(tmp_path / "a.npy", np.arange(12.0).reshape(6, 2))
    array = np.load(tmp_path / "a.npy", mmap_mode="r")
    seen = window.view(array, window.plan(6, 3, 1))
    assert np.shares_memory(seen, array)
    assert seen[2].tolist() == [[4.0, 5.0], [6.0, 7.0], [8.0, 9.0]]


@pytest.mark.parametrize(("shifted", "enough"), [(True, 12), (False, 7)])
def test_too_few_rows_say_how_many_would_be_enough(*, shifted: bool, enough: int) -> None:
    with pytest.raises(PreprocessError, match=rf"{enough - 1} samples hold no.*least {enough} sa"):
        window.plan(enough - 1, 7, 5, record_shifted=shifted)
    assert window.plan(enough, 7, 5, record_shifted=shifted).count == 1


@pytest.mark.parametrize("size", [0, -1, 2.0, "3", True, None])
def test_sizes_that_are_no_whole_numbers_from_one_are_refused(size: Any) -> None:
    with pytest.raises(PreprocessError, match=r"size_window: .*whole number of at least 1"):
        window.plan(10, size, 1)
    with pytest.raises(PreprocessError, match=r"size_shift: .*whole number of at least 1"):
        window.plan(10, 1, size)


def test_a_flag_that_is_none_is_refused() -> None:
    with pytest.raises(PreprocessError, match="record_shifted: 'no'; give True or False"):
        window.plan(10, 1, 1, record_shifted="no")  # type: ignore[arg-type]


def test_numpy_integers_become_plain_ones_that_a_store_takes() -> None:
    windows = window.plan(np.int64(10), np.int64(3), np.int32(2))  # type: ignore[arg-type]
    kept = (windows.samples, windows.size_window, windows.size_shift, windows.count, windows.lead)
    assert [type(number) for number in kept] == [int] * 5


def test_shifted_windows_that_were_not_recorded_are_refused() -> None:
    windows = window.plan(10, 3, 1, record_shifted=False)
    for ask in (
        lambda: windows.start(0, shifted=True),
        lambda: windows.rows([0], shifted=True),
        lambda: window.view(np.arange(10), windows, shifted=True),
    ):
        with pytest.raises(PreprocessError, match=r"shifted=True: .*record_shifted=False"):
            ask()


@pytest.mark.parametrize("position", [-1, 8])
def test_a_position_that_no_window_has_is_refused(position: int) -> None:
    windows = window.plan(10, 2, 1)
    with pytest.raises(SelectionError, match=rf"no window \[{position}\]; there are 8, from 0"):
        windows.rows([0, position])
    with pytest.raises(SelectionError, match="no window"):
        windows.start(position)


def test_a_mask_in_place_of_positions_is_refused() -> None:
    with pytest.raises(SelectionError, match="positions: bool values; give whole numbers"):
        window.plan(4, 1, 1).rows([True, False, True])


def test_data_of_another_length_is_refused() -> None:
    with pytest.raises(PreprocessError, match="9 samples; the windows were laid over 10"):
        window.view(np.arange(9), window.plan(10, 2, 1))
