"""The report: what it says, that it needs nothing but itself, and that it prints."""

from __future__ import annotations

import base64
import io
import json
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
import tifffile
from PIL import Image

import napari_wbc_nca
from napari_wbc_nca.io._files import file_sha256
from napari_wbc_nca.project.journal import Correction
from napari_wbc_nca.project.project import Project, default_folder
from napari_wbc_nca.workflow.params import ReportParams

NAME = "<b>smear & 'co'"
COLUMNS = "label,class,box_y0,box_x0,box_y1,box_x1,area_px,p_neutrophil,p_monocyte"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


class Page(HTMLParser):
    """Tags with their attributes, and all text outside of styles."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.parts, self._open = [], [], []
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.text = " ".join(" ".join(self.parts).split())

    def handle_starttag(self, tag, attributes):
        self._open.append(tag)
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        self._open.append("")

    def handle_data(self, data):
        if self._open[-1:] != ["style"]:
            self.parts.append(data)

    def all(self, tag):
        return [attributes for found, attributes in self.tags if found == tag]


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "images" / f"{NAME}.png"
    path.parent.mkdir()
    pixels = np.full((60, 80, 3), 230, np.uint8)
    pixels[10:30, 10:30] = (90, 40, 120)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def results(tmp_path, image):
    """What `segment` writes: two cells, the second of them doubtful, and a missed place on each."""
    folder = tmp_path / "results"
    folder.mkdir()
    labels = np.zeros((60, 80), np.uint16)
    labels[10:30, 10:30], labels[30:50, 50:70] = 1, 2
    tifffile.imwrite(folder / f"{NAME}_labels.tif", labels)
    rows = ["1,neutrophil,10,10,30,30,400,0.97,0.03", "2,monocyte,30,50,50,70,400,0.48,0.52"]
    (folder / f"{NAME}_cells.csv").write_text("\n".join([COLUMNS, *rows]))
    places = [{"y": y, "x": x, "score": 0.4, "reason": "too small"} for y, x in ((20, 20), (50, 9))]
    record = {
        "program": "napari-wbc-nca 0.1.0",
        "input": {"source": str(image), "sha256": file_sha256(image)},
        "model": {"name": "no-such-model", "sha256": "0" * 64},
        "parameters": {"seed": 7},
        "likely_missed": places,
    }
    (folder / f"{NAME}.json").write_text(json.dumps(record))
    return folder


def written(results, tmp_path, **params):
    path = napari_wbc_nca.report(results, tmp_path / "report.html", ReportParams(**params))
    return Page(path)


def test_the_page_says_what_was_found_and_where_it_comes_from(results, image, tmp_path):
    page = written(results, tmp_path)
    for text in (
        *("Not for diagnosis", "neutrophil 1 50.0 9.5–90.5", "all white cells 2 100.0"),
        *("0 of 2 white cells were reviewed", "Reviewed by nobody yet", "Signature", "seed: 7"),
        *(file_sha256(image), "unchanged", "no model of this name and SHA-256 is installed here"),
        *("no type is likely", "missed (1)", "0.40 too small"),
    ):
        assert text in page.text, text


def test_names_of_files_are_text_and_not_markup(results, tmp_path):
    page = written(results, tmp_path)
    assert NAME in page.text
    assert page.all("b") == []


def test_the_page_needs_nothing_but_itself(results, tmp_path):
    page = written(results, tmp_path)
    assert not {"script", "link", "iframe", "object", "base"} & {tag for tag, _ in page.tags}
    pictures = page.all("image")
    assert len(pictures) == 5  # the image, two cells, a doubtful one, a missed place
    assert all(one["href"].startswith("data:image/jpeg;base64,") for one in pictures)
    assert "url(" not in page.source
    assert "default-src 'none'" in page.all("meta")[2]["content"]


def test_pictures_show_the_cells_with_their_outlines(results, tmp_path):
    page = written(results, tmp_path)
    crop = page.all("image")[1]
    pixels = Image.open(io.BytesIO(base64.b64decode(crop["href"].split(",")[1])))
    side = int(crop["width"])
    assert pixels.size == (side, side)
    middle = pixels.getpixel((side // 2, side // 2))
    assert np.abs(np.subtract(middle, (90, 40, 120))).max() < 12
    low = 10 - round((10 + 30 - side) / 2)
    corners = f"M{low} {low}H{low + 20}V{low + 20}H{low}Z"
    assert corners in [path["d"] for path in page.all("path")]


def test_of_many_cells_the_most_doubtful_are_shown_and_the_others_counted(results, tmp_path):
    page = written(results, tmp_path, max_crops=0, max_fields=0)
    assert len(page.all("image")) == 2
    assert "1 more, less doubtful than these, are not shown" in page.text


def test_corrections_and_their_reviewer_are_reported(results, image, tmp_path):
    labels = np.zeros((60, 80), np.uint32)
    labels[10:30, 10:30] = 1
    old = {"class": "neutrophil", "p_neutrophil": 0.9, "p_monocyte": 0.1, "status": "auto"}
    new = old | {"class": "blast", "status": "edited", "reviewer": "A. Meyer <x>"}
    with Project(default_folder(image), create=True) as project:
        journal = project.add_layer(project.add_image(image), "cells", labels, {1: old})
        journal.record(Correction("classify", rows={1: (old, new)}))
        page = Page(
            napari_wbc_nca.report(
                results, tmp_path / "report.html", opened={project.folder.resolve(): project}
            )
        )
    assert "Reviewed by A. Meyer <x>" in page.text
    assert "blast 1 100.0" in page.text
    assert "1 of 1 white cells were reviewed" in page.text
    assert "corrections 1" in page.text


def test_an_image_that_is_gone_leaves_the_counts_and_a_remedy(results, image, tmp_path):
    image.unlink()
    page = written(results, tmp_path)
    assert page.all("image") == []
    assert "is missing; put the image back where it was" in page.text
    assert "missing now" in page.text


def test_what_cannot_be_read_is_named(results, tmp_path):
    (results / "other_cells.csv").write_text("")
    assert "Not counted: other:" in written(results, tmp_path).text
    with pytest.raises(ValueError, match=r"choose a name that ends with \.html"):
        napari_wbc_nca.report(results, tmp_path / "report.pdf")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no cells"):
        napari_wbc_nca.report(tmp_path / "empty", tmp_path / "r.html")


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_a_browser_shows_and_prints_the_page(results, tmp_path):
    path = napari_wbc_nca.report(results, tmp_path / "report.html")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
    flags += ["--disable-background-networking", "--disable-component-update"]
    flags += [f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr"]
    pdf = tmp_path / "report.pdf"
    done = subprocess.run(
        [CHROMIUM, *flags, f"--print-to-pdf={pdf}", path.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "CONSOLE" not in done.stderr
    assert pdf.read_bytes().startswith(b"%PDF")
    if shutil.which("pdftotext"):
        text = subprocess.run(
            ["pdftotext", "-layout", pdf, "-"], capture_output=True, text=True, check=True
        ).stdout
        pages = text.rstrip("\f").split("\f")
        assert len(pages) > 1
        assert all("Not for diagnosis" in one for one in pages)
