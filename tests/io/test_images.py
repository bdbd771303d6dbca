from __future__ import annotations

import errno
import io
import json
import os
import struct
import zlib

import dask.array as da
import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image as Pictures

from napari_wbc_nca.io import _files, tiff
from napari_wbc_nca.io.images import ImageError, prepare, read, require_colours, to_rgb
from napari_wbc_nca.types import Image

RANDOM = np.random.default_rng(0)
RGB = RANDOM.integers(0, 256, (40, 50, 3), np.uint8)


def usable(image):
    return require_colours(prepare(image))


def deep_png(path, pixels, filtered=0):
    height, width, channels = pixels.shape
    rows = pixels.astype(">u2").view(np.uint8).reshape(height, width * channels * 2)
    if filtered == 2:  # "up": each byte minus the one above
        rows = np.diff(rows, axis=0, prepend=np.zeros((1, rows.shape[1]), np.uint8))
    if filtered == 1:  # "sub": each byte minus that of the pixel to the left
        step = channels * 2
        left = np.hstack([np.zeros((height, step), np.uint8), rows[:, :-step]])
        rows = rows - left
    lines = b"".join(bytes([filtered]) + row.tobytes() for row in rows)
    kind = {3: 2, 4: 6}[channels]
    parts = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)),
        (b"IDAT", zlib.compress(lines)),
        (b"IEND", b""),
    ]
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
            for kind, data in parts
        )
    )


def ome_zarr(path, pixels, axes, scale, unit="micrometer", version=2):
    group = zarr.open_group(str(path), mode="w", zarr_format=version)
    group.create_array("0", data=pixels, chunks=tuple(min(n, 16) for n in pixels.shape))
    named = [{"name": a, "type": "space", "unit": unit} if a in "yx" else {"name": a} for a in axes]
    scales = [
        {
            "axes": named,
            "datasets": [
                {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": scale}]}
            ],
        }
    ]
    if version == 2:
        group.attrs["multiscales"] = scales
    else:
        group.attrs["ome"] = {"version": "0.5", "multiscales": scales}
    return path


def equal(image, expected):
    np.testing.assert_array_equal(np.asarray(usable(image).pixels), expected)


def test_png_keeps_its_pixels(tmp_path):
    path = tmp_path / "smear.png"
    Pictures.fromarray(RGB).save(path)
    image = read(path)
    equal(image, RGB)
    assert (image.name, image.pixel_size, image.source) == ("smear", None, str(path))


def test_jpeg_is_read_close_to_what_was_written(tmp_path):
    smooth = np.full((40, 50, 3), (200, 120, 180), np.uint8)
    Pictures.fromarray(smooth).save(tmp_path / "smear.jpg")
    assert np.abs(read(tmp_path / "smear.jpg").pixels.astype(int) - smooth).max() < 4


def test_palette_png_becomes_colours(tmp_path):
    Pictures.fromarray(RGB // 128 * 255).convert("P").save(tmp_path / "smear.png")
    equal(read(tmp_path / "smear.png"), RGB // 128 * 255)


@pytest.mark.parametrize("filtered", [0, 1, 2])
@pytest.mark.parametrize("channels", [3, 4])
def test_png_of_16_bits_keeps_all_of_them(tmp_path, filtered, channels):
    deep = RANDOM.integers(0, 4096, (9, 11, channels), np.uint16)
    deep_png(tmp_path / "deep.png", deep, filtered)
    pixels = read(tmp_path / "deep.png").pixels
    assert pixels.dtype == np.uint16
    np.testing.assert_array_equal(pixels, deep)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("planar", [False, True])
def test_tiff_of_both_channel_orders(tmp_path, dtype, planar):
    pixels = RGB.astype(dtype)
    stored = np.moveaxis(pixels, -1, 0) if planar else pixels
    order = "separate" if planar else "contig"
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", planarconfig=order)
    equal(read(tmp_path / "a.tif"), pixels)


def test_tiff_of_three_pages_without_names_holds_channels(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.moveaxis(RGB, -1, 0), photometric="minisblack")
    equal(read(tmp_path / "a.tif"), RGB)


def test_palette_tiff_becomes_colours(tmp_path):
    indices = RGB[..., 0]
    colours = RANDOM.integers(0, 65536, (3, 256), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", indices, photometric="palette", colormap=colours)
    equal(read(tmp_path / "a.tif"), np.moveaxis(colours[:, indices], 0, -1))


def test_lzw_tiff_without_imagecodecs(tmp_path):
    Pictures.fromarray(RGB).save(tmp_path / "a.tif", compression="tiff_lzw")
    equal(read(tmp_path / "a.tif"), RGB)


def test_imagej_tiff_tells_the_pixel_size(tmp_path):
    tifffile.imwrite(
        tmp_path / "a.tif",
        np.moveaxis(RGB, -1, 0)[None, None],
        imagej=True,
        resolution=(4.0, 4.0),
        metadata={"axes": "TZCYX", "unit": "um"},
    )
    image = read(tmp_path / "a.tif")
    equal(image, RGB)
    assert image.pixel_size == pytest.approx(0.25)


def test_ome_tiff_tells_the_pixel_size_in_any_unit(tmp_path):
    size = {"PhysicalSizeX": 250.0, "PhysicalSizeY": 250.0}
    units = {"PhysicalSizeXUnit": "nm", "PhysicalSizeYUnit": "nm"}
    tifffile.imwrite(
        tmp_path / "a.ome.tif", RGB, photometric="rgb", metadata={"axes": "YXS", **size, **units}
    )
    image = read(tmp_path / "a.ome.tif")
    equal(image, RGB)
    assert image.name == "a"
    assert image.pixel_size == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("per_unit", "unit", "expected"),
    [(40_000, "CENTIMETER", 0.25), (118, "CENTIMETER", None), (300, "INCH", None)],
)
def test_only_a_resolution_of_microscopes_counts(tmp_path, per_unit, unit, expected):
    tifffile.imwrite(
        tmp_path / "a.tif",
        RGB,
        photometric="rgb",
        resolution=(per_unit, per_unit),
        resolutionunit=unit,
    )
    assert read(tmp_path / "a.tif").pixel_size == expected


def test_oblong_pixels_have_no_size(tmp_path):
    tifffile.imwrite(
        tmp_path / "a.tif",
        RGB,
        photometric="rgb",
        resolution=(40_000, 20_000),
        resolutionunit="CENTIMETER",
    )
    assert read(tmp_path / "a.tif").pixel_size is None


@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_large_tiff_is_read_lazily(tmp_path, monkeypatch, tile):
    monkeypatch.setattr(tiff, "LAZY", 100)
    zipped = "zlib" if tile else None
    tifffile.imwrite(tmp_path / "a.tif", RGB, photometric="rgb", tile=tile, compression=zipped)
    image = read(tmp_path / "a.tif")
    assert isinstance(image.pixels, da.Array)
    equal(image, RGB)


@pytest.mark.parametrize("version", [2, 3])
def test_ome_zarr_is_lazy_and_tells_the_pixel_size(tmp_path, version):
    pixels = np.moveaxis(RGB, -1, 0)[None, :, None]
    scale = [1, 1, 1, 0.25, 0.25]
    path = ome_zarr(tmp_path / "a.ome.zarr", pixels, "tczyx", scale, version=version)
    image = read(path)
    assert isinstance(image.pixels, da.Array)
    assert (image.name, image.pixel_size) == ("a", 0.25)
    equal(image, RGB)


def test_ome_zarr_without_unit_has_no_pixel_size(tmp_path):
    path = ome_zarr(tmp_path / "a.zarr", RGB, "yxc", [0.25, 0.25, 1], unit="pixel")
    assert read(path).pixel_size is None


def test_plain_zarr_array(tmp_path):
    zarr.create_array(str(tmp_path / "a.zarr"), data=RGB, chunks=(16, 16, 3))
    equal(read(tmp_path / "a.zarr"), RGB)


def refused(path, *words):
    with pytest.raises(ImageError) as caught:
        usable(read(path))
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    for word in words:
        assert word in message
    return message


def test_missing_file_is_refused(tmp_path):
    refused(tmp_path / "no.png", "no such file", "check the path")


@pytest.mark.parametrize("name", ["a.png", "deep.png", "a.tif"])
def test_missing_rights_come_with_a_remedy(tmp_path, monkeypatch, name):
    if name == "a.tif":
        tifffile.imwrite(tmp_path / name, RGB, photometric="rgb")
    elif name == "a.png":
        Pictures.fromarray(RGB).save(tmp_path / name)
    else:
        deep_png(tmp_path / name, RGB.astype(np.uint16) * 10)

    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("builtins.open", refuse)
    monkeypatch.setattr(io, "open", refuse)
    refused(tmp_path / name, "it cannot be read: Permission denied; ask for the right to read it")


def test_empty_file_is_refused(tmp_path):
    (tmp_path / "a.png").touch()
    refused(tmp_path / "a.png", "0 bytes", "export it again")


def test_folder_is_refused(tmp_path):
    refused(tmp_path, "is a folder", "give an image file")


def test_other_files_are_refused(tmp_path):
    (tmp_path / "a.czi").write_bytes(b"ZISRAWFILE" * 20)
    refused(tmp_path / "a.czi", "no image that can be read", "PNG, JPEG, TIFF, OME-Zarr")
    (tmp_path / "a.tif").write_bytes(b"this is no TIFF file at all")
    refused(tmp_path / "a.tif", "cannot be read", "truncated or damaged")


@pytest.mark.parametrize("left", [0.02, 0.5, 0.99])
@pytest.mark.parametrize("tile", [None, (16, 16)])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("lazy", [True, False])
def test_truncated_tiff_is_refused(tmp_path, monkeypatch, left, tile, compression, lazy):
    if lazy:
        monkeypatch.setattr(tiff, "LAZY", 100)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, RGB, photometric="rgb", tile=tile, compression=compression)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * left)])
    refused(path, "truncated", "export it again")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "deep.png"])
def test_truncated_picture_is_refused(tmp_path, name):
    path = tmp_path / name
    if name == "deep.png":
        deep_png(path, RGB.astype(np.uint16) * 10)
    else:
        Pictures.fromarray(RGB).save(path)
    path.write_bytes(path.read_bytes()[:-900])
    refused(path, "truncated", "export it again")


def test_damaged_zarr_is_refused(tmp_path):
    path = ome_zarr(tmp_path / "a.zarr", RGB, "yxc", [1, 1, 1])
    (path / ".zgroup").write_text("{")
    refused(path, "zarr metadata cannot be read", "copy or export it again")


def test_zarr_group_without_image_is_refused(tmp_path):
    zarr.open_group(str(tmp_path / "a.zarr"), mode="w").create_group("labels")
    refused(tmp_path / "a.zarr", "group without an image", "labels")


def test_zarr_without_its_pixels_is_refused(tmp_path):
    path = ome_zarr(tmp_path / "a.zarr", RGB, "yxc", [1, 1, 1])
    attributes = json.loads((path / ".zattrs").read_text())
    attributes["multiscales"][0]["datasets"][0]["path"] = "7"
    (path / ".zattrs").write_text(json.dumps(attributes))
    refused(path, "full resolution '7' is missing", "copy it again")


def test_label_of_a_slide_is_passed_over(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as file:
        for name, pixels in (("label image", RGB[:20, :20]), ("", RGB)):
            file.write(pixels, photometric="rgb", metadata={"axes": "YXS", "Name": name})
    equal(read(tmp_path / "a.ome.tif"), RGB)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ({"datasets": ["0"]}, "multiscales metadata are not those of OME-Zarr"),
        ({"datasets": [{}]}, "multiscales metadata are not those of OME-Zarr"),
        ({"datasets": [{"path": "0"}], "axes": ["y", "x"]}, "name 2 axes and its pixels have 3"),
    ],
)
def test_malformed_metadata_of_ome_zarr_are_refused(tmp_path, image, message):
    path = ome_zarr(tmp_path / "a.zarr", RGB, "yxc", [1, 1, 1])
    (path / ".zattrs").write_text(json.dumps({"multiscales": [image]}))
    refused(path, message, "export it again")


def test_grey_file_is_refused(tmp_path):
    Pictures.fromarray(RGB[..., 0]).save(tmp_path / "a.png")
    refused(tmp_path / "a.png", "1 channel (shape (40, 50))", "three channels are needed")


def test_grey_with_alpha_is_refused(tmp_path):
    Pictures.fromarray(RGB).convert("LA").save(tmp_path / "a.png")
    refused(tmp_path / "a.png", "2 channels", "three channels are needed")


def test_stack_files_are_refused(tmp_path):
    stack = np.stack([RGB[..., 0]] * 3)
    tifffile.imwrite(tmp_path / "z.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    refused(tmp_path / "z.tif", "stack of planes (Z 3, Y 40, X 50)", "choose one plane")
    tifffile.imwrite(tmp_path / "t.tif", np.stack([RGB] * 5), photometric="rgb")
    refused(tmp_path / "t.tif", "stack of planes", "choose one plane")
    picture = Pictures.fromarray(RGB)
    picture.save(tmp_path / "a.gif", save_all=True, append_images=[Pictures.fromarray(255 - RGB)])
    refused(tmp_path / "a.gif", "stack of 2 planes", "choose one plane")


def test_four_stains_are_no_colours(tmp_path):
    stains = np.stack([RGB[..., 0]] * 4)
    tifffile.imwrite(tmp_path / "a.tif", stains, imagej=True, metadata={"axes": "CYX"})
    refused(tmp_path / "a.tif", "4 channels", "three channels are needed")


def test_cmyk_tiff_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.dstack([RGB, RGB[..., :1]]), photometric="separated")
    refused(tmp_path / "a.tif", "CMYK", "convert it to RGB")


def test_picture_larger_than_memory_is_refused(tmp_path, monkeypatch):
    Pictures.fromarray(RGB).save(tmp_path / "a.png")
    monkeypatch.setattr(_files, "available_memory", lambda: 1000)
    refused(tmp_path / "a.png", "GiB of memory are free", "OME-Zarr")


def test_array_larger_than_memory_is_refused(monkeypatch):
    monkeypatch.setattr(_files, "available_memory", lambda: RGB.size * 4 - 1)
    with pytest.raises(ImageError, match=r"needs .* GiB at once .* give a dask array"):
        usable(Image(RGB))
    usable(Image(da.from_array(RGB, chunks=(20, 25, 3))))


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (np.zeros((9, 9, 3), complex), "complex128; expected integers or floats"),
        (np.full((9, 9, 3), None), "object; expected integers or floats"),
        (np.zeros((9, 9, 3), bool), "bool; expected integers or floats"),
        (np.zeros((0, 9, 3)), "empty: its shape is (0, 9, 3)"),
        (np.zeros(9), "its shape is (9,); expected (Y, X, 3)"),
        (np.zeros((9, 9)), "1 channel (shape (9, 9))"),
        (np.zeros((9, 9, 1)), "1 channel (shape (9, 9))"),
        (np.zeros((20, 9, 9)), "stack of planes: its shape is (20, 9, 9)"),
        (np.zeros((5, 9, 9, 3)), "stack of planes: its shape is (5, 9, 9, 3)"),
        (np.zeros((2, 5, 9, 9, 3)), "choose one plane"),
        (np.zeros((4, 9, 3), np.uint8), "4 by 9 pixels; expected at least 8 by 8"),
        (np.full((9, 9, 3), -1.0), "from -1 to -1; expected brightness"),
        (np.full((9, 9, 3), np.nan), "243 of 243 values are NaN or infinite"),
        (np.full((9, 9, 4), np.inf), "324 of 324 values are NaN or infinite"),
        (np.uint8([[[9, 9, 9, 0]] * 9] * 9), "transparent all over"),
    ],
)
@pytest.mark.parametrize("lazy", [False, True])
def test_unusable_pixels_are_refused(pixels, words, lazy):
    if lazy:
        pixels = da.from_array(pixels, chunks=-1)
    with pytest.raises(ImageError) as caught:
        usable(Image(pixels, "smear 7"))
    assert str(caught.value).startswith("smear 7: ")
    assert words in str(caught.value)


def test_one_nan_among_many_pixels_is_found():
    pixels = np.zeros((3000, 20, 3), np.float32)
    pixels[777, 7, 1] = np.nan
    with pytest.raises(ImageError, match="1 of 180000 values"):
        usable(Image(pixels))


@pytest.mark.parametrize("size", [0.0, -1.0, float("nan"), float("inf")])
def test_wrong_pixel_size_is_refused(size):
    with pytest.raises(ImageError, match=r"pixel size is .* expected a number above 0"):
        usable(Image(RGB, pixel_size=size))


def test_checking_keeps_everything_but_the_order_of_axes():
    image = usable(Image(np.moveaxis(RGB, -1, 0)[None], "a", 0.5, "b"))
    assert (image.name, image.pixel_size, image.source) == ("a", 0.5, "b")
    assert image.shape == (40, 50)
    np.testing.assert_array_equal(image.pixels, RGB)


def test_zarr_arrays_become_lazy(tmp_path):
    array = zarr.create_array(str(tmp_path / "a.zarr"), data=RGB, chunks=(16, 16, 3))
    image = usable(Image(array))
    assert isinstance(image.pixels, da.Array)
    equal(image, RGB)


def test_tiff_stored_in_one_block_larger_than_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(tiff, "LAZY", 100)
    monkeypatch.setattr(_files, "available_memory", lambda: 2000)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, RGB, photometric="rgb", compression="zlib", rowsperstrip=40)
    refused(path, "blocks of", "free memory", "tiled TIFF")


@pytest.mark.parametrize("lazy", [False, True])
def test_image_is_checked_and_its_contrast_judged_once(lazy, monkeypatch):
    deep = np.moveaxis(RGB.astype(np.uint16) * 16, -1, 0)
    image = prepare(Image(da.from_array(deep) if lazy else deep))
    assert image.pixels.shape == RGB.shape
    assert image.contrast.white == 4095
    monkeypatch.setattr("napari_wbc_nca.io.pixels.sample", None)
    assert prepare(image) is image
    np.testing.assert_allclose(np.asarray(to_rgb(image)), RGB * (16 * 255 / 4095), rtol=1e-5)


def test_brightness_alone_is_prepared_but_has_no_colours():
    image = prepare(Image(RGB[..., 0], "grey"))
    assert image.pixels.shape == (*RGB.shape[:2], 1)
    with pytest.raises(ImageError, match=r"grey: it has 1 channel \(shape \(40, 50\)\)"):
        require_colours(image)
