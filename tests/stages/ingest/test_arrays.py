from __future__ import annotations

import io
import pickle
from typing import TYPE_CHECKING, Any

import fsspec
import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiqc_core.errors import IngestError, SelectionError
from aiqc_core.stages.ingest import arrays, content
from aiqc_core.stages.ingest.digest import array_digest

if TYPE_CHECKING:
    from pathlib import Path

SEQUENCE = np.arange(12.0).reshape(2, 3, 2)

storable = hnp.arrays(
    st.one_of(
        hnp.boolean_dtypes(),
        hnp.integer_dtypes(endianness="="),
        hnp.unsigned_integer_dtypes(endianness="="),
        hnp.floating_dtypes(endianness="=", sizes=(16, 32, 64)),
        hnp.unicode_string_dtypes(endianness="=", min_len=1, max_len=4),
    ),
    hnp.array_shapes(min_dims=3, max_dims=3, max_side=3),
)


@given(storable)
def test_what_is_stored_comes_back_with_every_dtype_and_value(array: np.ndarray) -> None:
    conforming, _ = arrays.conform(array, ndim=3)
    back = arrays.from_npy(arrays.to_npy(conforming))
    assert back.dtype == array.dtype
    assert back.tobytes() == array.tobytes()
    assert array_digest(back) == array_digest(array)


@given(storable)
def test_the_bytes_do_not_depend_on_the_layout_in_memory(array: np.ndarray) -> None:
    assert arrays.to_npy(np.asfortranarray(array)) == arrays.to_npy(array)


def test_big_endian_values_are_kept_in_the_order_of_this_machine() -> None:
    array, _ = arrays.conform(SEQUENCE.astype(">f4"), ndim=3)
    assert str(array.dtype) == "float32"
    assert np.array_equal(array, SEQUENCE)


def test_columns_are_numbered_or_named_along_the_last_axis() -> None:
    assert arrays.conform(SEQUENCE, ndim=3)[1] == ["0", "1"]
    assert arrays.conform(SEQUENCE, ndim=3, rename_columns=["x", "y"])[1] == ["x", "y"]


@pytest.mark.parametrize("names", [["a"], ["a", None], "a", [], ["a", 1]])
def test_names_that_do_not_fit_are_refused(names: Any) -> None:
    with pytest.raises(IngestError, match="for 2 columns"):
        arrays.conform(SEQUENCE, ndim=3, rename_columns=names)


def test_a_name_given_twice_is_refused() -> None:
    with pytest.raises(IngestError, match=r"repeat: \['a'\]"):
        arrays.conform(SEQUENCE, ndim=3, rename_columns=["a", "a"])


@pytest.mark.parametrize(
    ("array", "message"),
    [
        ([[[1.0]]], "list given; give a numpy array"),
        (np.zeros((2, 2)), r"shape is \(2, 2\); give 3 axes: samples, rows, columns"),
        (np.zeros((2, 0, 2)), "no axis of length 0"),
        (np.zeros((1, 1, 1), [("a", "f4"), ("b", "f4")]), r"fields \['a', 'b'\]"),
        (np.full((1, 1, 1), None), "dtype object"),
        (np.zeros((1, 1, 1), complex), "dtype complex128"),
        (np.zeros((1, 1, 1), "M8[s]"), "dtype datetime64"),
        (np.zeros((1, 1, 1), np.longdouble), "at most 64 bits"),
        (np.ma.masked_equal(np.ones((1, 1, 1)), 1), "mask would be lost"),
    ],
)
def test_arrays_that_cannot_be_stored_are_refused(array: Any, message: str) -> None:
    with pytest.raises(IngestError, match=f"arr3D_or_npyPath: .*{message}"):
        arrays.conform(array, ndim=3)


@given(storable, st.sampled_from(["bool", "int8", "uint8", "int64", "float16", "float64"]))
def test_retype_keeps_every_value_or_refuses(array: np.ndarray, dtype: str) -> None:
    try:
        cast, _ = arrays.conform(array, ndim=3, retype=dtype)
    except IngestError:
        return
    assert cast.dtype == dtype
    if array.dtype.kind != "U" and not (array.dtype.kind == cast.dtype.kind == "f"):
        pairs = zip(array.ravel().tolist(), cast.ravel().tolist(), strict=True)
        assert all(old == new or (old != old and new != new) for old, new in pairs)  # noqa: PLR0124


def test_text_that_is_no_unicode_becomes_no_number() -> None:
    with pytest.raises(IngestError, match="text that is no Unicode cannot become float64"):
        arrays.conform(np.array([[["\ud800"]]]), ndim=3, retype="float64")


@pytest.mark.parametrize("retype", [np.float32, "float32", np.dtype(">f4")])
def test_a_type_or_its_name_retypes_all_columns(retype: Any) -> None:
    assert str(arrays.conform(SEQUENCE, ndim=3, retype=retype)[0].dtype) == "float32"


@pytest.mark.parametrize(
    ("value", "retype", "message"),
    [
        (300, "int8", r"column '1' loses values as int8: row 5, .*300.*sample to sample"),
        (np.nan, "int64", "column '1' cannot become int64"),
        (2.0**53 + 2, "float16", "column '1' loses values"),
        (1, {"0": "int8"}, "one dtype for all columns"),
        (1, "category", "'category' is no dtype of numpy"),
        (1, "str", "cannot become str"),
        (1, object, "cannot become object"),
    ],
)
def test_a_retype_that_loses_values_names_the_column(
    value: float, retype: Any, message: str
) -> None:
    array = SEQUENCE.copy()
    array[1, 2, 1] = value
    with pytest.raises(IngestError, match=message):
        arrays.conform(array, ndim=3, retype=retype)


def test_whole_numbers_that_a_float_would_round_are_refused() -> None:
    with pytest.raises(IngestError, match="column '0' loses values as float64"):
        arrays.conform(np.full((1, 1, 1), 2**53 + 1), ndim=3, retype="float64")


def test_a_description_tells_axes_dtype_size_and_gaps() -> None:
    images = np.zeros((2, 3, 4, 5), np.float32)
    about = content.of_array(images, "image", "ndarray")
    assert about.shape == {"samples": 2, "channels": 3, "rows": 4, "columns": 5}
    assert (about.dtypes, about.memory_mb, about.contains_nan) == ("float32", 1, False)
    images[1, 2, 3, 4] = np.nan
    assert content.of_array(images, "image", "ndarray").contains_nan
    assert not content.of_array(np.full((1, 1, 1), "nan"), "sequence", "ndarray").contains_nan
    large = np.zeros((3, 2**18, 1), np.float16)
    assert content.of_array(large, "sequence", "ndarray").memory_mb == 2


def test_samples_are_taken_by_position_and_columns_by_name() -> None:
    taken = arrays.take(SEQUENCE, ["x", "y"], [1], ["y", "x"])
    assert np.array_equal(taken, SEQUENCE[[1]][:, :, [1, 0]])
    assert arrays.take(SEQUENCE, ["x", "y"]) is SEQUENCE
    with pytest.raises(SelectionError, match=r"unknown \['z'\]"):
        arrays.take(SEQUENCE, ["x", "y"], None, "z")
    with pytest.raises(SelectionError, match="positions 0 to 1"):
        arrays.take(SEQUENCE, ["x", "y"], [2])


def test_frames_hold_a_sample_each_or_a_channel_each() -> None:
    frames = arrays.to_frames(SEQUENCE, ["x", "y"])
    assert [frame.to_numpy().tolist() for frame in frames] == SEQUENCE.tolist()
    assert list(frames[0].columns) == ["x", "y"]
    images = np.arange(24, dtype=np.uint8).reshape(2, 3, 2, 2)
    nested = arrays.to_frames(images, ["x", "y"])
    assert [[f.to_numpy().tolist() for f in sample] for sample in nested] == images.tolist()
    assert str(nested[0][0]["x"].dtype) == "uint8"


def test_a_local_npy_is_mapped_and_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.NPY"
    with path.open("wb") as stream:
        np.save(stream, SEQUENCE)
    for given_path in (path, str(path), path.as_uri()):
        array, source_format = arrays.read_npy(given_path)
        assert isinstance(array, np.memmap)
        assert not array.flags.writeable
        assert np.array_equal(array, SEQUENCE)
        assert source_format == "npy"


def test_an_npy_is_read_from_any_file_system_that_fsspec_knows() -> None:
    with fsspec.open("memory://arrays/a.npy", "wb") as stream:
        stream.write(arrays.to_npy(SEQUENCE))
    assert np.array_equal(arrays.read_npy("memory://arrays/a.npy")[0], SEQUENCE)


def npz() -> bytes:
    sink = io.BytesIO()
    np.savez(sink, a=SEQUENCE)
    return sink.getvalue()


def objects() -> bytes:
    sink = io.BytesIO()
    np.save(sink, np.array([[[None]]]), allow_pickle=True)
    return sink.getvalue()


@pytest.mark.parametrize(
    "content",
    [b"", b"1,2\n", npz(), objects(), pickle.dumps([1]), arrays.to_npy(SEQUENCE)[:-8]],
    ids=["empty", "text", "npz", "objects", "pickle", "cut short"],
)
def test_a_file_that_is_no_npy_of_plain_values_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(content)
    with pytest.raises(IngestError, match=r"a\.npy is no readable \.npy file"):
        arrays.read_npy(path)
    with fsspec.open("memory://arrays/bad.npy", "wb") as stream:
        stream.write(content)
    with pytest.raises(IngestError, match=r"bad\.npy is no readable \.npy file"):
        arrays.read_npy("memory://arrays/bad.npy")


def test_a_missing_npy_or_another_ending_is_named(tmp_path: Path) -> None:
    with pytest.raises(IngestError, match=r"there is no file .*gone\.npy"):
        arrays.read_npy(tmp_path / "gone.npy")
    with pytest.raises(IngestError, match=r"must end in \.npy"):
        arrays.read_npy(tmp_path / "a.npz")
