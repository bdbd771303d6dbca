"""Draw who imports whom, and all modules: ``python docs/scripts/architecture.py [BEFORE]``.

BEFORE is a git revision whose packages are drawn beside those of the working tree. Every import
counts, those inside of functions and those for type checking only included.
"""

from __future__ import annotations

import ast
import subprocess
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "napari_wbc_nca"
IMAGES = ROOT / "docs" / "images"
Graph = dict[str, set[str]]


def sources(revision: str = "") -> dict[str, str]:
    """Module name to source, of the working tree or of a git revision."""
    folder = f"src/{PACKAGE}"
    if not revision:
        paths = sorted((ROOT / folder).rglob("*.py"))
        return {_module(p.relative_to(ROOT / "src").as_posix()): p.read_text() for p in paths}
    listed = _git("ls-tree", "-r", "--name-only", revision, folder).split()
    found = [path for path in listed if path.endswith(".py")]
    return {_module(path[4:]): _git("show", f"{revision}:{path}") for path in found}


def imports(modules: Mapping[str, str]) -> Graph:
    """Module to the modules of the package that it imports."""
    return {name: set(_imported(name, text, modules)) - {name} for name, text in modules.items()}


def circles(graph: Graph) -> list[list[str]]:
    """Groups of modules that import each other, directly or through others."""
    below = {name: _reachable(graph, name) for name in graph}
    groups = {
        tuple(sorted(other for other in below[name] if name in below[other])) for name in graph
    }
    return [list(group) for group in sorted(groups) if group]


def by_package(graph: Graph) -> Graph:
    """Join the modules of each package, and each module beside the packages, to one node."""
    joined: Graph = {}
    for name, targets in graph.items():
        package = _package(name)
        joined.setdefault(package, set()).update(_package(t) for t in targets)
        joined[package].discard(package)
    return joined


def _module(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _package(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def _imported(name: str, text: str, modules: Mapping[str, str]) -> Iterator[str]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                if inner in modules or node.module in modules:
                    yield inner if inner in modules else node.module


def _reachable(graph: Graph, start: str) -> set[str]:
    found: set[str] = set()
    waiting = [start]
    while waiting:
        new = graph.get(waiting.pop(), set()) - found
        found |= new
        waiting += new
    return found


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout


def draw(axes: Axes, modules: Mapping[str, str], title: str) -> None:
    """Draw the packages in rows, importers above what they import.

    Arrows that follow from others are left out; those within a circle are red.
    """
    graph = by_package(imports(modules))
    graph.pop("", None)
    graph = {name: targets - {""} for name, targets in graph.items()}
    below = {name: _reachable(graph, name) for name in graph}
    places = _places(graph, below)
    boxes = {}
    for name, (x, y) in places.items():
        texts = [text for module, text in modules.items() if _package(module) == name]
        lines = sum(text.count("\n") for text in texts)
        count = f"{len(texts)} files, " if len(texts) > 1 else ""
        boxes[name] = axes.text(
            *(x, y, f"{name}\n{count}{lines:,} lines"), ha="center", va="center", fontsize=8,
            zorder=3, bbox={"boxstyle": "round", "fc": "#eef2fb", "ec": "#445"},
        ).get_bbox_patch()  # fmt: skip
    for name, targets in graph.items():
        for target in targets:
            circle = name in below[target]
            if circle or not any(target in below[other] for other in targets - {target}):
                arrow = {"arrowstyle": "->", "color": "#d55e00" if circle else "#667"}
                arrow |= {"patchA": boxes[name], "patchB": boxes[target]}
                axes.annotate("", places[target], places[name], arrowprops=arrow, zorder=2)
    total = sum(text.count("\n") for text in modules.values())
    axes.set_title(f"{title}: {len(modules)} files, {total:,} lines")
    axes.set_xlim(-0.5, 3.5)
    axes.set_ylim(min(y for _, y in places.values()) - 0.6, 0.6)
    axes.axis("off")


def _places(graph: Graph, below: Mapping[str, set[str]]) -> dict[str, tuple[float, float]]:
    """Centre of each package's box: the more rows down, the longer the chains above it."""
    rows: dict[str, int] = {}
    for name in sorted(graph, key=lambda name: (-len(below[name]), name)):
        above = [rows[other] for other in rows if name in graph[other] and other not in below[name]]
        rows[name] = 1 + max(above, default=-1)
    places = {}
    for row in sorted(set(rows.values())):
        names = sorted(name for name in rows if rows[name] == row)
        for at, name in enumerate(names):
            places[name] = (1.5 + 1.3 * (at - (len(names) - 1) / 2), -float(row))
    return places


def draw_modules(modules: Mapping[str, str]) -> None:
    """List all modules, package by package in the order of their layers, in columns."""
    from matplotlib.figure import Figure

    folders: dict[str, list[str]] = {}
    for name in sorted(modules):
        _, *folder, module = name.split(".") if "." in name else (name, name)
        if not any(other.startswith(f"{name}.") for other in modules):
            folders.setdefault("/".join(folder) or "beside the packages", []).append(module)
    graph = by_package(imports(modules))
    depth = {name: len(_reachable(graph, name)) for name in graph}
    order = sorted(folders, key=lambda name: (-depth.get(name.split("/")[0], -1), name))
    blocks = {name: textwrap.wrap(", ".join(folders[name]), 46) for name in order}
    columns = 3
    height = sum(len(lines) + 2 for lines in blocks.values()) / columns + 2
    figure = Figure(figsize=(12, height * 0.19))
    x = y = 0.0
    for name, lines in blocks.items():
        if y + len(lines) > height:
            x, y = x + 1, 0.0
        at = (0.01 + x / columns, 1 - (y + 0.5) / (height + 2))
        figure.text(*at, f"{name}  ({len(folders[name])})", weight="bold", fontsize=10, va="top")
        text = "\n".join(lines)
        down = at[1] - 1.3 / (height + 2)
        figure.text(at[0], down, text, fontsize=9, va="top", linespacing=1.25, family="monospace")
        y += len(lines) + 2
    figure.savefig(IMAGES / "modules.png", metadata={"Date": None})


def main(revisions: Iterable[str]) -> None:
    """Draw the given revisions, and the working tree with its modules."""
    from matplotlib.figure import Figure

    states = [("before", sources(revision)) for revision in revisions]
    states.append(("now", sources()))
    figure = Figure(figsize=(6 * len(states), 8), layout="constrained")
    for axes, (title, modules) in zip(
        figure.subplots(1, len(states), squeeze=False)[0], states, strict=True
    ):
        draw(axes, modules, title)
        for group in circles(imports(modules)):
            print(f"{title}: circle of {', '.join(group)}")
    figure.savefig(IMAGES / "architecture.png", metadata={"Date": None})
    draw_modules(sources())


if __name__ == "__main__":
    main(sys.argv[1:])
