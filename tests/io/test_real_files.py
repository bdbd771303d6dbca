"""Files as cameras, phones, scanners and other programs write them."""

from __future__ import annotations

from dataclasses import replace

import dask.array as da
import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image as Pictures

from napari_wbc_nca.datasets.samples import picture_size, read_rgb
from napari_wbc_nca.io import images, pixels
from napari_wbc_nca.io.images import ImageError, prepare, read, read_labels, to_rgb
from napari_wbc_nca.types import Image

RANDOM = np.random.default_rng(0)
RGB = RANDOM.integers(0, 256, (40, 50, 3), np.uint8)
SMOOTH = np.uint8(np.linspace([90, 60, 120], [250, 240, 255], 40 * 50).reshape(40, 50, 3))
TURNED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}


def colours(path):
    """Colours as segmenting sees them; training must see the same."""
    found = np.asarray(to_rgb(prepare(read(path))))
    np.testing.assert_allclose(read_rgb(path), found, atol=0.5)
    assert picture_size(path) == found.shape[:2]
    return found


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["tif", "png", "lazy"])
def test_pictures_are_turned_as_a_viewer_shows_them(tmp_path, monkeypatch, orientation, kind):
    path = tmp_path / f"a.{'png' if kind == 'png' else 'tif'}"
    if kind == "png":
        exif = Pictures.Exif()
        exif[274] = orientation
        Pictures.fromarray(RGB).save(path, exif=exif)
    else:
        tags = [(274, "H", 1, orientation, True)]
        tifffile.imwrite(path, RGB, photometric="rgb", extratags=tags)
    if kind == "lazy":
        monkeypatch.setattr(images.tiff, "LAZY", 100)
        assert isinstance(read(path).pixels, da.Array)
    np.testing.assert_array_equal(colours(path), TURNED[orientation](RGB))


def test_twelve_bits_in_sixteen_are_trained_on_as_they_are_segmented(tmp_path):
    deep = RGB.astype(np.uint16) * 16
    deep[0, 0] = 4095
    tifffile.imwrite(tmp_path / "a.tif", deep, photometric="rgb")
    np.testing.assert_allclose(colours(tmp_path / "a.tif"), deep / 4095 * 255, rtol=1e-5)


def test_channels_first_of_imagej(tmp_path):
    planes = np.moveaxis(RGB, -1, 0)
    tifffile.imwrite(tmp_path / "a.tif", planes, imagej=True, metadata={"axes": "CYX"})
    np.testing.assert_array_equal(colours(tmp_path / "a.tif"), RGB)


@pytest.mark.parametrize("kind", ["png", "tif", "associated"])
def test_alpha_is_over_white_everywhere(tmp_path, kind):
    alpha = RANDOM.integers(1, 256, (40, 50, 1), np.uint8)
    over = RGB * (alpha / 255) + 255 - alpha
    path = tmp_path / f"a.{'png' if kind == 'png' else 'tif'}"
    if kind == "png":
        Pictures.fromarray(np.dstack([RGB, alpha])).save(path)
    elif kind == "tif":
        tifffile.imwrite(
            path, np.dstack([RGB, alpha]), photometric="rgb", extrasamples="unassalpha"
        )
    else:
        scaled = np.round(RGB * (alpha / 255)).astype(np.uint8)
        tifffile.imwrite(
            path, np.dstack([scaled, alpha]), photometric="rgb", extrasamples="assocalpha"
        )
    np.testing.assert_allclose(colours(path), over, atol=0.51)


def test_first_picture_of_a_phone(tmp_path):
    first, second = Pictures.fromarray(SMOOTH), Pictures.fromarray(SMOOTH[:9, :9])
    first.save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=[second], quality=95)
    np.testing.assert_allclose(colours(tmp_path / "a.jpg"), SMOOTH, atol=8)


def test_cmyk_jpeg_becomes_rgb(tmp_path):
    Pictures.fromarray(SMOOTH).convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    np.testing.assert_allclose(colours(tmp_path / "a.jpg"), SMOOTH, atol=12)


def test_cmyk_that_another_program_read_is_not_taken_for_alpha(tmp_path):
    picture = Pictures.fromarray(SMOOTH).convert("CMYK")
    picture.save(tmp_path / "a.jpg", quality=95)
    with Pictures.open(tmp_path / "a.jpg") as opened:
        image = Image(np.asarray(opened), source=str(tmp_path / "a.jpg"))
    np.testing.assert_array_equal(to_rgb(prepare(image)), colours(tmp_path / "a.jpg"))
    lazy = replace(image, pixels=da.from_array(image.pixels))
    with pytest.raises(ImageError, match=r"a.jpg: its colours are CMYK.*convert it to RGB"):
        prepare(lazy)


@pytest.mark.parametrize("photometric", ["ycbcr", "miniswhite", "cielab"])
def test_colours_of_other_kinds_are_never_taken_as_another_program_shows_them(
    tmp_path, photometric
):
    shown = RGB[..., 0] if photometric == "miniswhite" else RGB
    options = {"subsampling": (1, 1)} if photometric == "ycbcr" else {}
    tifffile.imwrite(tmp_path / "a.tif", shown, photometric=photometric, **options)
    image = Image(shown, source=str(tmp_path / "a.tif"))
    if photometric == "cielab":
        with pytest.raises(ImageError, match=r"a.tif: its colours are CIELAB; convert it to RGB"):
            prepare(image)
    else:
        np.testing.assert_array_equal(to_rgb(prepare(image)), colours(tmp_path / "a.tif"))


def test_samples_without_a_meaning_are_no_alpha(tmp_path):
    five = np.dstack([RGB, RGB[..., :1] * 0, RGB[..., :1]])
    for count in (1, 2):
        kinds = ["unspecified"] * count
        pixels = five[..., : 3 + count]
        tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", extrasamples=kinds)
        np.testing.assert_array_equal(colours(tmp_path / "a.tif"), RGB)


def test_transparent_colour_is_white(tmp_path):
    Pictures.fromarray(RGB).save(tmp_path / "a.png", transparency=tuple(RGB[0, 0].tolist()))
    marked = (RGB == RGB[0, 0]).all(-1, keepdims=True)
    np.testing.assert_array_equal(colours(tmp_path / "a.png"), np.where(marked, 255, RGB))


def test_ycbcr_tiff_becomes_rgb(tmp_path):
    ycbcr = np.asarray(Pictures.fromarray(RGB).convert("YCbCr"))
    tifffile.imwrite(tmp_path / "a.tif", ycbcr, photometric="ycbcr", subsampling=(1, 1))
    np.testing.assert_allclose(colours(tmp_path / "a.tif"), RGB, atol=3)


def test_jpeg_inside_tiff_is_decoded_once(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", SMOOTH, photometric="rgb", compression="jpeg")
    np.testing.assert_allclose(colours(tmp_path / "a.tif"), SMOOTH, atol=8)


@pytest.mark.parametrize(("photometric", "name"), [("cielab", "CIELAB"), ("separated", "CMYK")])
def test_other_colour_spaces_are_refused_by_name(tmp_path, photometric, name):
    pixels = RGB if photometric == "cielab" else np.dstack([RGB, RGB[..., 0]])
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric=photometric)
    with pytest.raises(ImageError, match=rf"a.tif: its colours are {name}.*convert it to RGB"):
        read(tmp_path / "a.tif")


def test_white_is_zero(tmp_path):
    grey = RGB[..., 0]
    tifffile.imwrite(tmp_path / "a.tif", 255 - grey, photometric="miniswhite")
    np.testing.assert_array_equal(read(tmp_path / "a.tif").pixels, grey)
    np.testing.assert_array_equal(read_labels(tmp_path / "a.tif")[0], 255 - grey)


def test_white_is_zero_of_one_bit(tmp_path):
    black = RGB[..., 0] > 99
    tifffile.imwrite(tmp_path / "a.tif", black, photometric="miniswhite")
    np.testing.assert_array_equal(read(tmp_path / "a.tif").pixels, ~black)


@pytest.mark.parametrize("name", ["slide.ndpi", "slide.tif"])
def test_full_level_of_a_pyramid_is_read_lazily(tmp_path, name):
    with tifffile.TiffWriter(tmp_path / name) as file:
        for level in (1, 2):
            file.write(
                np.repeat(np.repeat(RGB, 8, 0), 8, 1)[::level, ::level],
                photometric="rgb",
                tile=(128, 128),
                subfiletype=int(level > 1),
            )
    image = read(tmp_path / name)
    assert isinstance(image.pixels, da.Array) and image.name == "slide"
    np.testing.assert_array_equal(colours(tmp_path / name)[::8, ::8], RGB)


@pytest.mark.parametrize("columns", [10, 5])  # the same aspect, and a square
@pytest.mark.parametrize("flagged", [True, False])
def test_thumbnail_before_the_picture_is_passed_over(tmp_path, flagged, columns):
    small = RGB[::5, ::5][:, :columns]
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(small, photometric="rgb", subfiletype=int(flagged), metadata=None)
        file.write(RGB, photometric="rgb", metadata=None)
    np.testing.assert_array_equal(colours(tmp_path / "a.tif"), RGB)


def test_more_pixels_than_pillow_allows_are_read(tmp_path, monkeypatch):
    Pictures.fromarray(RGB).save(tmp_path / "a.png")
    monkeypatch.setattr(Pictures, "MAX_IMAGE_PIXELS", 100)
    np.testing.assert_array_equal(colours(tmp_path / "a.png"), RGB)
    assert Pictures.MAX_IMAGE_PIXELS == 100


@pytest.mark.parametrize("mode", ["P", "1", "L", "I;16"])
def test_indices_are_labels(tmp_path, mode):
    labels = np.zeros((20, 30), np.uint8)
    labels[5:9, 5:9] = 1
    if mode == "P":
        picture = Pictures.fromarray(labels)
        picture.putpalette([200, 0, 0, 0, 200, 0])
    else:
        picture = Pictures.fromarray(
            {"1": labels > 0, "I;16": labels.astype("u2")}.get(mode, labels)
        )
    picture.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "a.png")[0], labels)


def test_indices_of_a_coloured_tiff_are_labels(tmp_path):
    labels = RGB[..., 0]
    lut = RANDOM.integers(0, 65536, (3, 256), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", labels, photometric="palette", colormap=lut)
    np.testing.assert_array_equal(read_labels(tmp_path / "a.tif")[0], labels)
    assert read(tmp_path / "a.tif").pixels.shape == RGB.shape


@pytest.mark.parametrize("mode", ["LA", "RGB", "RGBA"])
def test_grey_labels_saved_in_colour_are_one_plane(tmp_path, mode):
    labels = np.repeat(np.arange(8, dtype=np.uint8), 8).reshape(8, 8)
    Pictures.fromarray(labels).convert(mode).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "a.png")[0], labels)


def test_colours_and_fractions_are_no_labels(tmp_path):
    Pictures.fromarray(RGB).save(tmp_path / "a.png")
    with pytest.raises(ImageError, match=r"a.png: it holds colours; expected integers"):
        read_labels(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "a.tif", RGB[..., 0] / 2)
    with pytest.raises(ImageError, match="it holds float64; expected integers"):
        read_labels(tmp_path / "a.tif")


def imagej(path, resolution, unit):
    tifffile.imwrite(path, RGB, imagej=True, resolution=resolution, metadata={"unit": unit})


def ome(path, size, unit="µm", **more):
    tifffile.imwrite(path, RGB, photometric="rgb", metadata={"axes": "YXS"})
    text = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        f'<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="50" SizeY="40" '
        f'SizeC="3" SizeZ="1" SizeT="1" PhysicalSizeX="{size}" PhysicalSizeY="{size}" '
        f'PhysicalSizeXUnit="{unit}" PhysicalSizeYUnit="{more.get("unit_y", unit)}">'
        '<Channel ID="Channel:0:0" SamplesPerPixel="3"/><TiffData/></Pixels></Image></OME>'
    )
    tifffile.imwrite(path, RGB, photometric="rgb", description=text.encode(), metadata=None)


@pytest.mark.parametrize(
    ("resolution", "unit", "expected"),
    [
        ((4, 4), "um", 0.25),
        ((4, 4), "\\u00B5m", 0.25),
        ((300, 300), "inch", None),
        ((28.35, 28.35), "cm", None),
        ((40_000, 40_000), "cm", 0.25),
        ((4, 4), "pixel", None),
        ((1, 1), "mm", None),
    ],
)
def test_size_by_imagej(tmp_path, resolution, unit, expected):
    imagej(tmp_path / "a.tif", resolution, unit)
    assert read(tmp_path / "a.tif").pixel_size == (expected and pytest.approx(expected, rel=1e-3))


@pytest.mark.parametrize(
    ("size", "unit", "expected"),
    [
        ("0.25", "µm", 0.25),
        ("0,25", "µm", 0.25),
        ("250", "nm", 0.25),
        ("2500", "Å", 0.25),
        ("352.8", "µm", None),
        ("0.08467", "mm", None),
        ("about 1", "µm", None),
        ("1_0", "µm", None),
        ("", "µm", None),
        ("0.25", "reference frame", None),
        ("-1", "µm", None),
    ],
)
def test_size_by_ome(tmp_path, size, unit, expected):
    ome(tmp_path / "a.ome.tif", size, unit)
    image = read(tmp_path / "a.ome.tif")
    assert image.pixel_size == (expected and pytest.approx(expected))
    np.testing.assert_array_equal(image.pixels, RGB)


def test_size_by_ome_with_two_units(tmp_path):
    ome(tmp_path / "a.ome.tif", "250", "nm", unit_y="µm")
    assert read(tmp_path / "a.ome.tif").pixel_size is None


@pytest.mark.parametrize("dpi", [72, 96, 150, 300, 600, 1200, 2400, 4800])
@pytest.mark.parametrize("unit", ["INCH", "CENTIMETER"])
def test_print_resolution_is_no_size(tmp_path, dpi, unit):
    per_unit = dpi if unit == "INCH" else dpi / 2.54
    tifffile.imwrite(
        tmp_path / "a.tif", RGB, photometric="rgb", resolution=(per_unit,) * 2, resolutionunit=unit
    )
    assert read(tmp_path / "a.tif").pixel_size is None


@pytest.mark.parametrize(
    ("mpp", "expected"), [("0.2500", 0.25), ("0,5031", 0.5031), ("?", None), ("84.7", None)]
)
def test_size_by_aperio(tmp_path, mpp, expected):
    words = f"Aperio Image Library v11.2.1 \r\n50x40 JPEG/RGB Q=70|AppMag = 40|MPP = {mpp}"
    tifffile.imwrite(
        tmp_path / "a.svs", RGB, photometric="rgb", tile=(16, 16), description=words, metadata=None
    )
    image = read(tmp_path / "a.svs")
    assert image.pixel_size == expected
    np.testing.assert_array_equal(np.asarray(image.pixels), RGB)


@pytest.mark.parametrize(
    ("size", "expected"),
    [(0.25, 0.25), (20.0, 20.0), (0.001, None), (84.7, None), (25_400 / 2400, None)],
)
def test_only_a_microscope_s_size_is_believed(size, expected):
    assert pixels.side(size, size) == expected


def multiscales(path, version, axes, levels, **attributes):
    """A group whose levels, each with its scale, are listed in the order given."""
    group = zarr.open_group(str(path), mode="w", zarr_format=3 if version == "0.5" else 2)
    for name, (array, _) in levels.items():
        group.create_array(name, data=array, chunks=tuple(min(n, 16) for n in array.shape))
    image = {
        "axes": axes,
        "datasets": [
            {"path": name, "coordinateTransformations": [{"type": "scale", "scale": scale}]}
            for name, (_, scale) in levels.items()
        ],
    }
    found = {"multiscales": [image], **attributes}
    group.attrs.update({"ome": {"version": version, **found}} if version == "0.5" else found)
    return path


SPACE = [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
PLANES = np.moveaxis(RGB, -1, 0)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("name", ["channel", "c", "colour"])
def test_levels_and_axes_by_what_the_metadata_say(tmp_path, version, name):
    axes = [{"name": name, "type": "channel"}, *SPACE]
    levels = {
        "small": (PLANES[:, ::2, ::2], [1, 0.5, 0.5]),
        "1": (PLANES, [1, 0.25, 0.25]),
    }
    image = read(multiscales(tmp_path / "a.zarr", version, axes, levels))
    np.testing.assert_array_equal(np.asarray(to_rgb(prepare(image))), RGB)
    assert image.pixel_size == 0.25


@pytest.mark.parametrize("scale", [[1, "x", 0.25], [0.25], [1, 84.7, 84.7], [1, 0.0, 0.0]])
def test_size_of_a_zarr_that_cannot_be_is_unknown(tmp_path, scale):
    axes = [{"name": "c", "type": "channel"}, *SPACE]
    image = read(multiscales(tmp_path / "a.zarr", "0.4", axes, {"0": (PLANES, scale)}))
    assert image.pixel_size is None
    assert image.pixels.shape == RGB.shape


def test_four_channels_are_rgba_where_the_metadata_say_so(tmp_path):
    axes = [{"name": "c", "type": "channel"}, *SPACE]
    four = {"0": (np.concatenate([PLANES, PLANES[:1]]), [1, 0.25, 0.25])}
    with pytest.raises(ImageError, match="it has 4 channels"):
        read(multiscales(tmp_path / "a.zarr", "0.4", axes, four))
    labels = [{"label": name} for name in ("red", "green", "blue", "alpha")]
    path = multiscales(tmp_path / "b.zarr", "0.4", axes, four, omero={"channels": labels})
    assert read(path).pixels.shape == (40, 50, 4)


def test_level_is_found_however_its_path_is_written(tmp_path):
    axes = [{"name": "c", "type": "channel"}, *SPACE]
    path = multiscales(tmp_path / "a.zarr", "0.4", axes, {"0": (PLANES, [1, 0.25, 0.25])})
    group = zarr.open_group(str(path))
    image = {"axes": axes, "datasets": [{"path": "./0"}]}
    group.attrs["multiscales"] = [image]
    np.testing.assert_array_equal(read(path).pixels, RGB)
    group.attrs["multiscales"] = [image | {"datasets": [{"path": "../0"}]}]
    with pytest.raises(ImageError, match="multiscales metadata are not those of OME-Zarr"):
        read(path)


def test_first_listed_image_of_several(tmp_path):
    root = zarr.open_group(str(tmp_path / "a.zarr"), mode="w", zarr_format=2)
    root.attrs["bioformats2raw.layout"] = 3
    root.create_group("OME").attrs["series"] = ["second", "first"]
    axes = [{"name": "c", "type": "channel"}, *SPACE]
    multiscales(tmp_path / "a.zarr" / "first", "0.4", axes, {"0": (PLANES[:, :9], [1, 1, 1])})
    multiscales(tmp_path / "a.zarr" / "second", "0.4", axes, {"0": (PLANES, [1, 1, 1])})
    assert read(tmp_path / "a.zarr").pixels.shape == RGB.shape
