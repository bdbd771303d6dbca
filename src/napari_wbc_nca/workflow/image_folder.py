"""Images of a folder or a project, where their results lie, and how far each is reviewed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from napari_wbc_nca.io._files import name_outputs
from napari_wbc_nca.io.results import TABLE
from napari_wbc_nca.ops.differential import TOTAL, differential
from napari_wbc_nca.project.project import default_folder, folder_project, is_project
from napari_wbc_nca.workflow.batch import find_inputs
from napari_wbc_nca.workflow.cell_sources import read_layer, read_result

if TYPE_CHECKING:
    import pandas as pd

    from napari_wbc_nca.project.project import Project

RESULTS = "results"
"""Name of the folder of results in a folder of images."""


@dataclass(frozen=True)
class ReviewState:
    """How far an image is reviewed.

    Attributes
    ----------
    cells, reviewed
        White cells that are counted, and how many of them somebody decided on.
    done
        Whether its review was finished.
    failure
        Why it could not be segmented or read; empty where it could.
    missing
        Whether its file is missing.
    segmented
        Whether its cells are known.
    table
        Rated table of its cells, where they are.
    """

    cells: int = 0
    reviewed: int = 0
    done: bool = False
    failure: str = ""
    missing: bool = False
    segmented: bool = True
    table: pd.DataFrame | None = field(default=None, compare=False, repr=False)

    @property
    def text(self) -> str:
        """Text for a list.

        Examples
        --------
        >>> ReviewState(34, 12).text, ReviewState(segmented=False).text
        ('12 of 34 reviewed', 'not segmented')
        """
        if self.missing:
            return "file is missing"
        if self.failure:
            return f"failed: {self.failure}"
        if not self.segmented:
            return "not segmented"
        if self.done:
            return f"done, {self.cells} cell{'s' if self.cells != 1 else ''}"
        return f"{self.reviewed} of {self.cells} reviewed" if self.cells else "no white cells"


@dataclass(frozen=True)
class ImageFolder:
    """Images that are reviewed one after the other.

    Attributes
    ----------
    place
        Folder of the images, or of the project.
    files
        Images in order, and the names of their outputs.
    results
        Folder that ``segment`` writes into.
    projects
        Image to the folder of the project that keeps its corrections; it need not exist.
    """

    place: Path
    files: Mapping[Path, str]
    results: Path
    projects: Mapping[Path, Path] = field(default_factory=dict)

    def table(self, image: Path) -> Path:
        """Return the file of the table of cells of an image."""
        return self.results / f"{self.files[image]}{TABLE}"


def open_images(folder: str | Path) -> ImageFolder:
    """List the images of a folder.

    Corrections are kept in one project of the folder; of an image that has a project of its own, in
    that. A ValueError says that there is no image.
    """
    place = Path(folder).resolve()
    found = find_inputs([str(place)])
    if not found.files:
        raise ValueError(f"{place}: {found.failed.get(str(place), 'there is no image')}")
    together = folder_project(place)
    own = {path: default_folder(path) for path in found.files}
    projects = {path: one if is_project(one) else together for path, one in own.items()}
    return ImageFolder(place, found.files, place / RESULTS, projects)


def open_project_images(project: Project) -> ImageFolder:
    """List the images of an open project, those whose files are missing too."""
    paths = [image.path for image in project.images()]
    if not paths:
        raise ValueError(f"{project.folder} holds no image; open a folder of images instead")
    place = project.folder.resolve()
    beside = place.parent / RESULTS
    results = beside if beside.is_dir() else place
    return ImageFolder(place, name_outputs(paths), results, dict.fromkeys(paths, place))


def read_state(folder: ImageFolder, image: Path) -> ReviewState:
    """Read how far an image without a project is reviewed."""
    if not image.exists():
        return ReviewState(missing=True)
    table = folder.table(image)
    if not table.exists():
        return ReviewState(segmented=False)
    try:
        return review_state(read_result(table, image.name).cells)
    except (ValueError, OSError) as error:
        return ReviewState(failure=str(error))


def project_states(
    project: Project, folder: ImageFolder, only: Path | None = None
) -> dict[Path, ReviewState]:
    """Read how far the images are reviewed whose corrections an open project keeps.

    `only` is the one image that is asked for; None asks for all.
    """
    kept, place = folder.projects, project.folder.resolve()
    asked = [path for path in folder.files if kept.get(path) == place and only in (None, path)]
    states = {path: read_state(folder, path) for path in asked}
    project.database.flush()
    for image in project.images():
        old = states.get(image.path)
        if old is None or old.missing:
            continue
        for layer in project.latest_layers(image):
            old = review_state(read_layer(project, image, layer, image.path.name).cells)
        states[image.path] = replace(old, done=True) if image.reviewed else old
    return states


def review_state(cells: pd.DataFrame) -> ReviewState:
    """Count the white cells of a rated table, and those that were reviewed."""
    counts = differential(cells.assign(**{"class": cells["group"]})).set_index("class")
    number, reviewed = (int(counts[name].to_dict()[TOTAL]) for name in ("n", "reviewed"))
    return ReviewState(number, reviewed, number > 0 and number == reviewed, table=cells)
