"""Read images from files or urls into one array, channels first, and convert it to Pillow."""

from __future__ import annotations

import io
import re
import struct
import unicodedata
import warnings
import zlib
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from aiqc_core.errors import IngestError
from aiqc_core.stages.ingest import remote
from aiqc_core.stages.ingest.paths import list_folder, open_source

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
    from typing import IO

    from numpy.typing import NDArray

    ImageSource = bytes | str | Path | Image.Image

KEPT_MODES = frozenset({"L", "RGB", "RGBA", "I;16", "I", "F"})
CONVERTED_MODES = {"P": "RGB", "CMYK": "RGB", "LA": "RGBA", "PA": "RGBA", "1": "L"}
GREY_16_BIT = "I;16"
COLOUR_16_BIT = re.compile(r";16[BLN]")  # Pillow's names of pixels that it cuts to 8 bits
# What Pillow's decoders raise on damaged files, besides its own errors.
DAMAGE = (
    OSError, SyntaxError, ValueError, TypeError, LookupError, ArithmeticError, EOFError,
    RuntimeError, struct.error, zlib.error, Image.DecompressionBombError,
)  # fmt: skip
CHANNELS = (1, 2, 3, 4)
HEAD_BYTES = 12
HEIC = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})
TIFF_SUBFILE_TYPE, TIFF_REDUCED, TIFF_MASK = 254, 1, 4
TIFF_OLD_SUBFILE_TYPE, TIFF_OLD_REDUCED = 255, 2
PLAIN_GREY = frozenset({"uint8", "uint16", "int32", "float32", "bool"})


class _Found(NamedTuple):
    name: str
    mode: str
    size: tuple[int, int]
    source_format: str


def read_images(
    sources: Sequence[tuple[str, ImageSource]],
    *,
    argument: str = "images",
    unread: Sequence[str] = (),
) -> tuple[NDArray[Any], str]:
    """Read images of one mode and size into one array.

    The orientation that a camera noted (EXIF) is applied. Palette (without its transparency),
    CMYK, LA and 1-bit images become RGB, RGB, RGBA and L; 16-bit greyscale keeps its values.
    An MPO, which phones write under `.jpg`, gives its main picture, and a TIFF with smaller copies
    and masks of its first page gives that page. Other files of several frames are refused.

    Args:
        sources: a name for messages, and an image of Pillow, its bytes or its path, for each.
        argument: of the user, for messages.
        unread: what is wrong with further images, which could not be fetched.

    Returns:
        An array `(samples, channels, rows, columns)`, its last axis the width; and the format by
        Pillow's name in lower case, `'mixed'` where there are several.

    Raises:
        IngestError: with every file that is damaged, too large, of several frames or of another
            mode, or else every one that differs from most in mode or size.
    """
    array, found, faults = _stack(sources)
    faults = [*unread, *faults]
    if faults:
        count = len(sources) + len(unread)
        raise IngestError(
            f"{argument}: {len(faults)} of {count} cannot be read, and nothing was registered:\n  "
            + "\n  ".join(faults)
        )
    if array is None:
        raise IngestError("images: none given; give at least one.")
    (mode, size), _ = Counter((item.mode, item.size) for item in found).most_common(1)[0]
    others = [
        f"{item.name}: {item.mode}, {item.size[0]}×{item.size[1]}"
        for item in found
        if (item.mode, item.size) != (mode, size)
    ]
    if others:
        raise IngestError(
            f"images: all must agree in mode and size (width×height). Most are {mode}, "
            f"{size[0]}×{size[1]}; convert, crop or remove:\n  " + "\n  ".join(others)
        )
    formats = {item.source_format for item in found}
    return array, formats.pop() if len(formats) == 1 else "mixed"


def from_folder(path: str | Path) -> tuple[NDArray[Any], str]:
    """Read all images of a folder, in the order of `folder_sources`; see `read_images`."""
    return read_images(folder_sources(path))


def from_urls(urls: Sequence[str] | str) -> tuple[NDArray[Any], str]:
    """Read images behind urls, in their order; see `read_images` and `remote.fetch_each`."""
    fetched = remote.fetch_each(urls)
    sources = [(name, body) for name, body, fault in fetched if not fault]
    unread = [f"{name}: {fault}" for name, _, fault in fetched if fault]
    return read_images(sources, argument="urls", unread=unread)


def folder_sources(path: str | Path) -> list[tuple[str, str]]:
    """Return names and paths of a folder's files in natural order: `img2` before `img10`.

    Hidden files are left out. The order depends on the names alone, never on the machine.

    Raises:
        IngestError: no such folder, no file in it, or folders within.
    """
    entries = [entry for entry in list_folder(path) if not entry[0].startswith(".")]
    folders = sorted(name for name, _, is_folder in entries if is_folder)
    if folders:
        raise IngestError(
            f"folder_path: {path} holds the folders {folders}; give one that holds images only."
        )
    if not entries:
        raise IngestError(f"folder_path: {path} holds no file; give a folder of images.")
    return sorted(((name, full) for name, full, _ in entries), key=lambda item: _natural(item[0]))


def to_pillow(array: NDArray[Any]) -> list[Image.Image]:
    """Return images with exactly the pixels of an array.

    Args:
        array: `(samples, channels, rows, columns)` of 1 to 4 channels: grey, LA, RGB, RGBA.

    Raises:
        IngestError: another number of channels, or values that no pixels of Pillow hold.
    """
    channels = array.shape[1]
    if channels not in CHANNELS:
        raise IngestError(f"to_pillow: {channels} channels; Pillow shows 1, 2, 3 or 4.")
    if channels == 1:
        return [Image.fromarray(sample[0]) for sample in _as_pixels(array, is_grey=True)]
    pixels = np.moveaxis(_as_pixels(array, is_grey=False), 1, -1)
    return [Image.fromarray(np.ascontiguousarray(sample)) for sample in pixels]


def _natural(name: str) -> tuple[list[tuple[str, int]], str]:
    """Return a sort key by which digits count as numbers, the same on every file system."""
    plain = unicodedata.normalize("NFC", name)
    parts = re.findall(r"(\D*)(\d*)", plain.casefold())
    return [(text, int(digits) if digits else -1) for text, digits in parts], plain


def _stack(
    sources: Sequence[tuple[str, ImageSource]],
) -> tuple[NDArray[Any] | None, list[_Found], list[str]]:
    """Return the images of the shape of the first, what each is, and the faults of others."""
    array: NDArray[Any] | None = None
    found, faults, large = list[_Found](), list[str](), list[str]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # see below
        for name, source in sources:
            try:
                item, pixels = _read(name, source)
            except DAMAGE as error:
                faults.append(f"{name}: {error or type(error).__name__}")
                continue
            found.append(item)
            if pixels[0].size > (Image.MAX_IMAGE_PIXELS or np.inf):
                large.append(f"{name} ({pixels[0].size} pixels)")
            if array is None:
                array = np.empty((len(sources), *pixels.shape), pixels.dtype)
            if array.shape[1:] == pixels.shape and array.dtype == pixels.dtype:
                array[len(found) - 1] = pixels
    if large:
        warnings.warn(
            f"images: larger than Pillow deems safe: {', '.join(large)}.",
            Image.DecompressionBombWarning,
            stacklevel=3,
        )
    return array, found, faults


def _read(name: str, source: ImageSource) -> tuple[_Found, NDArray[Any]]:
    if isinstance(source, Image.Image):
        return _pixels(name, source.copy(), source.format)
    stream = io.BytesIO(source) if isinstance(source, bytes) else open_source(source)
    with stream, _opened(stream) as image:
        _refuse_frames(image)
        tiles: list[Any] = getattr(image, "tile", [])
        is_16_bit = any(COLOUR_16_BIT.search(str(tile[3])) for tile in tiles)
        if is_16_bit and image.mode[:4] != GREY_16_BIT:
            raise IngestError("16 bits a channel, of which Pillow keeps 8; save it with 8")
        image.load()
        return _pixels(name, image, image.format)


def _pixels(
    name: str, image: Image.Image, source_format: str | None
) -> tuple[_Found, NDArray[Any]]:
    """Return the pixels of an image, upright, channels first; this changes the image."""
    ImageOps.exif_transpose(image, in_place=True)  # else it copies upright images too
    mode = CONVERTED_MODES.get(image.mode, image.mode[:4])
    if image.mode in CONVERTED_MODES:
        image.info.pop("transparency", None)  # Pillow would warn that RGB has none
        image = image.convert(mode)
    elif image.mode not in KEPT_MODES and not image.mode.startswith(GREY_16_BIT):
        raise IngestError(f"mode {image.mode}; save it as RGB, RGBA or greyscale")
    pixels = np.asarray(image)
    pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    channels_first = np.atleast_3d(pixels).transpose(2, 0, 1)  # grey has no axis of channels yet
    size = (pixels.shape[1], pixels.shape[0])
    return _Found(name, mode, size, (source_format or "").lower()), channels_first


def _opened(stream: IO[bytes]) -> Image.Image:
    try:
        return Image.open(stream)
    except UnidentifiedImageError as error:
        stream.seek(0)
        head = stream.read(HEAD_BYTES)
        if head[4:8] == b"ftyp" and head[8:12] in HEIC:
            raise IngestError(
                "HEIC, as phones write it, which Pillow does not read; save it as JPEG or PNG"
            ) from error
        raise


def _refuse_frames(image: Any) -> None:
    """Refuse several pictures, except an MPO (previews, depths, gains) and copies in a TIFF."""
    frames = getattr(image, "n_frames", 1)
    if image.format == "TIFF":
        first, *others = [_subfile_type(image, frame) for frame in range(frames)]
        image.seek(0)
        if first & TIFF_REDUCED:
            raise IngestError(
                "its first page is the preview of a larger picture, as in a raw photograph (DNG); "
                "save the picture as JPEG or PNG"
            )
        if all(kind & (TIFF_REDUCED | TIFF_MASK) for kind in others):
            return
    if frames == 1 or image.format == "MPO":
        return
    raise IngestError(f"it has {frames} frames; give a file a frame")


def _subfile_type(image: Any, frame: int) -> int:
    image.seek(frame)
    old = TIFF_REDUCED if image.tag_v2.get(TIFF_OLD_SUBFILE_TYPE) == TIFF_OLD_REDUCED else 0
    return image.tag_v2.get(TIFF_SUBFILE_TYPE, 0) | old


def _as_pixels(array: NDArray[Any], *, is_grey: bool) -> NDArray[Any]:
    """Return the values, unchanged, in a dtype that Pillow has pixels for."""
    if array.dtype == np.uint8 or (is_grey and array.dtype.name in PLAIN_GREY):
        return array
    target = "uint8" if not is_grey else "float32" if array.dtype.kind == "f" else "int32"
    is_number = array.dtype.kind in "biuf"
    with np.errstate(invalid="ignore", over="ignore"):
        cast = array.astype(target) if is_number else array
    if not is_number or not np.array_equal(cast, array, equal_nan=array.dtype.kind == "f"):
        raise IngestError(
            f"to_pillow: values of dtype {array.dtype} do not fit into {target} pixels. Register "
            "them with retype, or use to_arr."
        )
    return cast
