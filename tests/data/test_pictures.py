"""Any picture becomes 8-bit RGB, or an error that says why not."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facecycle.data.pictures import PictureError, TooManyPixels, picture_size, read_picture

RAMP = np.tile(np.arange(0, 256, 4, dtype=np.uint8), (48, 1))
COLOUR = np.stack([RAMP, RAMP[:, ::-1], np.full_like(RAMP, 90)], axis=2)


def save(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("mode", "kind", "tolerance"),
    [("RGB", "PNG", 0), ("RGB", "WEBP", 12), ("RGB", "BMP", 0), ("CMYK", "JPEG", 6), ("P", "GIF", 40)],
)
def test_colours_survive(mode: str, kind: str, tolerance: float) -> None:
    image = Image.fromarray(COLOUR)
    image = image.quantize(256) if mode == "P" else image.convert(mode)
    picture = read_picture(save(image, kind))
    assert (picture.dtype, picture.shape) == (np.uint8, (48, 64, 3))
    assert np.abs(picture.astype(int) - COLOUR).mean() <= tolerance


def test_grey_becomes_three_equal_channels() -> None:
    picture = read_picture(save(Image.fromarray(RAMP), "PNG"))
    np.testing.assert_array_equal(picture, np.stack([RAMP] * 3, axis=2))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled(kind: str) -> None:
    picture = read_picture(save(Image.fromarray(RAMP.astype(np.uint16) * 257), kind))
    np.testing.assert_array_equal(picture[..., 0], RAMP)


def test_wide_integers_and_floats_keep_their_greys() -> None:
    for values in (RAMP.astype(np.int32), RAMP.astype(np.int32) * 257, RAMP / np.float32(255)):
        picture = read_picture(save(Image.fromarray(values), "TIFF"))
        np.testing.assert_array_equal(picture[..., 0], RAMP)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (RAMP.astype(np.int32) * 1000, "values from 0 to 252000; integers must lie in 0..65535"),
        (RAMP.astype(np.int32) - 1, "values from -1 to 251; integers"),
        (RAMP.astype(np.float32), r"values from 0 to 252; floats must lie in \[0, 1\]: divide it by 255"),
        (np.full((4, 4), np.nan, np.float32), "holds NaN"),
    ],
)
def test_values_out_of_range_are_told(values: np.ndarray, said: str) -> None:
    with pytest.raises(PictureError, match=f"^scan: {said}"):
        read_picture(save(Image.fromarray(values), "TIFF"), "scan")


def test_transparent_pixels_are_grey_and_opaque_ones_as_they_are() -> None:
    alpha = np.where(np.arange(64) < 32, 0, 255).astype(np.uint8)
    rgba = np.dstack([COLOUR, np.tile(alpha, (48, 1))])
    picture = read_picture(save(Image.fromarray(rgba), "PNG"))
    assert (picture[:, :32] == 128).all()
    np.testing.assert_array_equal(picture[:, 32:], COLOUR[:, 32:])


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, -1), (8, 1)])
def test_exif_rotation_is_applied(orientation: int, turns: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    picture = read_picture(save(Image.fromarray(COLOUR), "PNG", exif=exif))
    np.testing.assert_array_equal(picture, np.rot90(COLOUR, turns))


def test_of_an_animation_the_first_frame_is_taken() -> None:
    images = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    picture = read_picture(save(images[0], "GIF", save_all=True, append_images=images[1:]))
    assert picture[0, 0].tolist() == [255, 0, 0]


def test_content_decides_not_the_name(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(save(Image.fromarray(COLOUR), "PNG"))
    np.testing.assert_array_equal(read_picture(tmp_path / "a.jpg"), COLOUR)


def png_of(width: int, height: int) -> bytes:
    """A PNG that says it is this large, in a few bytes."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(9))) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no picture"),
        (b"a letter, not a picture", "no picture"),
        (save(Image.fromarray(COLOUR), "JPEG")[:700], "truncated"),
        (save(Image.fromarray(COLOUR), "PNG")[:60], "."),
        (png_of(15_000, 12_000), "over the limit"),
        (png_of(60_000, 60_000), "over the limit"),
        (png_of(0, 10), "."),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no picture"),  # would run a foreign program
    ],
)
def test_what_is_no_picture_says_so(tmp_path: Path, data: bytes, reason: str) -> None:
    file = tmp_path / "a.jpg"
    file.write_bytes(data)
    with pytest.raises(PictureError, match=rf"a\.jpg: .*{reason}"):
        read_picture(file)
    with pytest.raises(PictureError, match="upload: "):
        read_picture(data, name="upload")


def test_a_size_is_known_before_a_pixel_is_decoded(tmp_path: Path) -> None:
    cut_short = save(Image.fromarray(COLOUR), "PNG")[:60]
    (tmp_path / "a.png").write_bytes(cut_short)
    for source in (cut_short, io.BytesIO(cut_short), tmp_path / "a.png"):
        assert picture_size(source, most=64 * 48) == (64, 48)
    with pytest.raises(TooManyPixels, match=r"^upload: 64x48 pixels, over the limit of 3,071; make it smaller$"):
        picture_size(cut_short, "upload", 64 * 48 - 1)
    with pytest.raises(
        TooManyPixels, match=r"^upload: over the limit of 1,000 pixels; make it smaller$"
    ):  # Pillow's own limit
        picture_size(png_of(60_000, 60_000), "upload", 1000)


@pytest.mark.parametrize(
    "data", [b"", b"a letter", png_of(0, 10), b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"]
)
def test_what_has_no_size_is_no_picture(data: bytes) -> None:
    with pytest.raises(PictureError, match=r"^upload: no picture that can be read; use JPEG, PNG or WebP$"):
        picture_size(data, "upload")


def test_an_open_file_is_read_from_its_beginning() -> None:
    file = io.BytesIO(save(Image.fromarray(COLOUR), "PNG"))
    file.seek(9)
    np.testing.assert_array_equal(read_picture(file), COLOUR)


def test_a_missing_file_and_a_folder_say_so(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="No such file"):
        read_picture(tmp_path / "nothing.jpg")
    with pytest.raises(PictureError, match="directory"):
        read_picture(tmp_path)


def test_what_cannot_be_opened_is_not_called_damaged(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match=r"Is a directory; check the path and who may read it, or leave it out$"):
        read_picture(tmp_path)


def test_a_damaged_exif_block_spoils_no_picture() -> None:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x011A] = 6, "maker", 72.5  # orientation, make, resolution
    whole = save(Image.fromarray(COLOUR), "JPEG", exif=exif)
    right, start = read_picture(whole), whole.index(b"Exif") + 6
    turned = 0
    for offset in range(start + 8, start + len(exif.tobytes()) - 6):
        for value in (0, 1, 5, 12, 0x7F, 0xFF):
            picture = read_picture(whole[:offset] + bytes([value]) + whole[offset + 1 :])
            assert picture.shape in (right.shape, COLOUR.shape)  # as far as the orientation was spared
            turned += picture.shape == right.shape
    assert turned > 100
