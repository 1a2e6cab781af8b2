from __future__ import annotations

import io
import shutil
import warnings
from typing import TYPE_CHECKING, Any

import fsspec
import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFile

from aiqc_core.errors import IngestError
from aiqc_core.stages.ingest import images
from aiqc_core.stages.ingest.digest import array_digest

if TYPE_CHECKING:
    from pathlib import Path

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
ORIENTATION = 0x0112


def encoded(image: Image.Image, source_format: str = "png", **options: Any) -> bytes:
    sink = io.BytesIO()
    image.save(sink, source_format, **options)
    return sink.getvalue()


def grey(value: int, size: tuple[int, int] = (2, 1)) -> bytes:
    return encoded(Image.new("L", size, value))


def noise(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (64, 64, 3), np.uint8)
    return encoded(Image.fromarray(pixels))


def read_one(data: bytes) -> np.ndarray:
    return images.read_images([("one", data)])[0][0]


def palette(**options: Any) -> bytes:
    image = Image.new("P", (2, 1))
    image.putpalette([*RED, *BLUE])
    image.putdata([0, 1])
    return encoded(image, **options)


@pytest.mark.parametrize("transparency", [None, 0, b"\x00\x80"])
def test_a_palette_image_gives_its_colours_not_their_numbers(transparency: Any) -> None:  # B33
    data = palette() if transparency is None else palette(transparency=transparency)
    assert np.moveaxis(read_one(data), 0, -1).tolist() == [[list(RED), list(BLUE)]]


def test_cmyk_la_and_1_bit_become_rgb_rgba_and_l() -> None:
    cmyk = Image.new("CMYK", (2, 1), (0, 255, 255, 0))
    assert np.array_equal(
        read_one(encoded(cmyk, "tiff"))[:, 0, 0], cmyk.convert("RGB").getpixel((0, 0))
    )
    assert read_one(encoded(Image.new("LA", (2, 1), (7, 9))))[:, 0, 0].tolist() == [7, 7, 7, 9]
    assert read_one(encoded(Image.new("1", (2, 1), 1))).tolist() == [[[255, 255]]]


def test_a_phone_photo_is_turned_upright_and_fits_to_upright_ones() -> None:  # B35
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    wide = Image.new("RGB", (4, 2), BLUE)
    wide.paste(RED, (0, 0, 1, 2))
    turned = encoded(wide, "png", exif=exif)
    upright = encoded(Image.new("RGB", (2, 4), BLUE))
    array, _ = images.read_images([("turned", turned), ("upright", upright)])
    assert array.shape == (2, 3, 4, 2)
    assert array[0, :, 0].T.tolist() == [list(RED), list(RED)]  # the left edge is the top now
    photo = encoded(wide, "jpeg", exif=exif)
    assert read_one(photo).shape == (3, 4, 2)


def test_every_damaged_file_of_a_folder_is_listed(tmp_path: Path) -> None:  # B36
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(noise(number))
    half = (tmp_path / "1.png").read_bytes()
    (tmp_path / "1.png").write_bytes(half[: len(half) // 2])
    (tmp_path / "empty.png").touch()
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(
        IngestError, match=r"3 of 5(.|\n)*1\.png: (.|\n)*empty\.png: (.|\n)*notes"
    ) as error:
        images.from_folder(tmp_path)
    assert "0.png" not in str(error.value)
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


def test_a_folder_is_read_in_natural_order_wherever_it_is(tmp_path: Path) -> None:  # B39
    folder = tmp_path / "a"
    folder.mkdir()
    for number in (10, 1, 2):
        (folder / f"img{number}.png").write_bytes(grey(number))
    (folder / ".DS_Store").write_bytes(b"hidden")
    (folder / ".cache").mkdir()
    array, source_format = images.from_folder(folder)
    assert array[:, 0, 0, 0].tolist() == [1, 2, 10]
    assert source_format == "png"
    assert [name for name, _ in images.folder_sources(folder)] == [
        "img1.png",
        "img2.png",
        "img10.png",
    ]
    copy = shutil.copytree(folder, tmp_path / "b")
    assert array_digest(images.from_folder(str(copy))[0]) == array_digest(array)


@given(st.permutations(["b2", "B1", "a", "a1b10", "a1b9", "a01", "2", "10", "x\u0301"]))
def test_the_order_hangs_on_the_names_alone(names: list[str]) -> None:
    wanted = ["2", "10", "a", "a01", "a1b9", "a1b10", "B1", "b2", "x\u0301"]
    assert sorted(names, key=images._natural) == wanted


def test_a_folder_is_read_from_any_file_system_that_fsspec_knows() -> None:
    for number in (10, 2):
        with fsspec.open(f"memory://pictures/{number}.png", "wb") as stream:
            stream.write(grey(number))
    assert images.from_folder("memory://pictures")[0][:, 0, 0, 0].tolist() == [2, 10]


def test_folders_within_an_empty_folder_or_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(IngestError, match="holds no file"):
        images.from_folder(tmp_path)
    (tmp_path / "cats").mkdir()
    with pytest.raises(IngestError, match=r"holds the folders \['cats'\]"):
        images.from_folder(tmp_path)
    with pytest.raises(IngestError, match="there is no folder"):
        images.from_folder(tmp_path / "gone")


def photograph(colour: tuple[int, int, int], orientation: int = 1) -> bytes:
    """Return what phones call a .jpg: a picture, and its preview after it."""
    picture, preview = Image.new("RGB", (8, 4), colour), Image.new("RGB", (4, 2), BLUE)
    picture.paste((0, 0, 0), (0, 0, 4, 4))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return encoded(picture, "mpo", save_all=True, append_images=[preview], exif=exif)


def test_of_a_photograph_with_a_preview_the_photograph_is_taken(tmp_path: Path) -> None:
    array, source_format = images.read_images([("1.jpg", photograph(RED))])
    plain = encoded(Image.open(io.BytesIO(photograph(RED))), "png")
    assert source_format == "mpo"
    assert np.array_equal(array[0], read_one(plain))
    turned = read_one(photograph(RED, orientation=6))
    assert turned.shape == (3, 8, 4)
    assert np.array_equal(turned, np.rot90(array[0], -1, axes=(1, 2)))
    (tmp_path / "1.jpg").write_bytes(photograph(RED))
    (tmp_path / "2.JPG").write_bytes(encoded(Image.new("RGB", (8, 4), GREEN), "jpeg"))
    stack, mixed = images.from_folder(tmp_path)
    assert (stack.shape, mixed) == ((2, 3, 4, 8), "mixed")
    assert np.array_equal(stack[0], array[0])


@pytest.mark.parametrize(("tag", "value"), [(254, 1), (254, 4), (255, 2)])
def test_smaller_copies_and_masks_of_a_page_are_not_taken(tag: int, value: int) -> None:
    page, copy = Image.new("L", (8, 4), 7), Image.new("L", (4, 2), 9)
    copy.encoderinfo = {"tiffinfo": {tag: value}}
    data = encoded(page, "tiff", save_all=True, append_images=[copy])
    assert Image.open(io.BytesIO(data)).n_frames == 2
    assert np.array_equal(read_one(data)[0], np.full((4, 8), 7))


def test_a_preview_is_not_taken_for_the_picture_it_is_of() -> None:
    data = encoded(Image.new("L", (8, 4)), "tiff", tiffinfo={254: 1})
    with pytest.raises(IngestError, match=r"one: its first page is the preview .*DNG"):
        read_one(data)


def test_of_an_icon_in_several_sizes_the_largest_is_taken() -> None:
    data = encoded(Image.new("RGBA", (32, 32), (*RED, 255)), "ico", sizes=[(16, 16), (32, 32)])
    assert read_one(data).shape == (4, 32, 32)


def test_a_photograph_that_pillow_does_not_read_is_called_by_its_name() -> None:
    with pytest.raises(
        IngestError, match=r"IMG_1\.HEIC: HEIC, as phones write it.*save it as JPEG"
    ):
        images.read_images([("IMG_1.HEIC", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")])


@pytest.mark.parametrize("source_format", ["gif", "tiff", "png", "webp"])
def test_several_frames_are_refused(source_format: str) -> None:  # B40
    first, *others = (Image.new("RGB", (4, 4), colour) for colour in (RED, GREEN, BLUE))
    data = encoded(first, source_format, save_all=True, append_images=others)
    with pytest.raises(IngestError, match="one: it has 3 frames"):
        read_one(data)


def test_a_bomb_is_refused_and_a_large_image_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # B41
    with pytest.raises(IngestError, match=r"big\.png: .*300 pixels"):
        images.read_images([("big.png", grey(0, (15, 20)))])
    with pytest.warns(Image.DecompressionBombWarning, match=r"large\.png \(150 pixels\)"):
        array, _ = images.read_images([("large.png", grey(7, (15, 10)))])
    assert array.shape == (1, 1, 10, 15)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        images.read_images([("small.png", grey(0, (10, 10)))])


@pytest.mark.parametrize("source_format", ["png", "tiff"])
def test_16_bit_grey_keeps_its_values(source_format: str) -> None:
    pixels = np.array([[1, 300, 65535]], np.uint16)
    array = read_one(encoded(Image.fromarray(pixels), source_format))
    assert array.dtype == np.uint16
    assert array.tolist() == [pixels.tolist()]


def test_big_endian_16_bit_grey_keeps_its_values() -> None:
    pixels = np.array([[1, 300]], ">u2")
    array = read_one(encoded(Image.fromarray(pixels), "tiff"))
    assert (array.dtype, array.tolist()) == (np.dtype("uint16"), [[[1, 300]]])


def test_16_bit_colour_is_refused_as_pillow_would_cut_it() -> None:
    import struct
    import zlib

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(7)))
    with pytest.raises(IngestError, match="16 bits a channel"):
        read_one(data + chunk(b"IEND", b""))


def test_other_modes_are_refused_by_name() -> None:
    with pytest.raises(IngestError, match="one: mode LAB; save it as RGB"):
        read_one(encoded(Image.new("LAB", (2, 1)), "tiff"))


def test_each_image_that_differs_from_most_is_listed() -> None:
    sources = [("wide", grey(0, (3, 1))), ("a", grey(1)), ("b", grey(2))]
    sources.append(("colour", encoded(Image.new("RGB", (2, 1)))))
    with pytest.raises(
        IngestError, match=r"Most are L, 2×1(.|\n)*wide: L, 3×1\n  colour: RGB, 2×1$"
    ):
        images.read_images(sources)


def test_formats_are_named_or_mixed() -> None:
    png, bmp = grey(1), encoded(Image.new("L", (2, 1)), "bmp")
    assert images.read_images([("a", bmp)])[1] == "bmp"
    assert images.read_images([("a", png), ("b", bmp)])[1] == "mixed"
    with pytest.raises(IngestError, match="give at least one"):
        images.read_images([])


pixels = st.one_of(
    *(
        hnp.arrays(
            dtype,
            st.tuples(st.integers(1, 2), st.just(channels), st.integers(1, 3), st.integers(1, 3)),
        )
        for dtype, channels in [(np.uint8, 1), (np.uint8, 3), (np.uint8, 4), (np.uint16, 1)]
    )
)


@given(pixels)
def test_to_pillow_gives_back_the_pixels_that_went_in(array: np.ndarray) -> None:
    shown = images.to_pillow(array)
    back, _ = images.read_images([(str(i), encoded(image)) for i, image in enumerate(shown)])
    assert back.dtype == array.dtype
    assert np.array_equal(back, array)


@pytest.mark.parametrize(
    "dtype", ["bool", "int8", "int32", "int64", "float16", "float32", "float64"]
)
def test_to_pillow_shows_other_dtypes_without_changing_a_value(dtype: str) -> None:
    array = np.array([0, 1]).astype(dtype).reshape(1, 1, 1, 2)
    assert np.array_equal(np.asarray(images.to_pillow(array)[0]), array[0, 0])
    colours = np.repeat(array, 3, axis=1)
    assert np.array_equal(np.asarray(images.to_pillow(colours)[0]), np.moveaxis(colours[0], 0, -1))


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((1, 5, 1, 1)), "5 channels"),
        (np.full((1, 1, 1, 1), 0.1), "float64 do not fit into float32"),
        (np.full((1, 3, 1, 1), np.nan), "do not fit into uint8"),
        (np.full((1, 3, 1, 1), 256), "do not fit into uint8"),
        (np.full((1, 1, 1, 1), "a"), "do not fit"),
    ],
)
def test_to_pillow_refuses_what_has_no_pixels(array: np.ndarray, message: str) -> None:
    with pytest.raises(IngestError, match=message):
        images.to_pillow(array)
