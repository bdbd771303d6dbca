"""Kill programs that correct cells, and compare what their journals hold with a replay.

python benchmarks/journal_kills.py [RUNS]

Each run begins a random script of 100 edits, undone and redone at random, in a process of its own,
which is ended by SIGKILL at a random moment. Labels and rows of the journal must equal a replay of
the transactions that were committed. Prints how many of the runs (200) do.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TESTS = Path(__file__).parents[1] / "tests" / "project"
sys.path.insert(0, str(TESTS))

from edit_scripts import Script  # noqa: E402

from napari_wbc_nca.project.project import Project  # noqa: E402

RUNS, EDITS, SHAPE = 200, 100, (64, 64)
PAUSE = 0.002
"""Seconds between edits, so that kills fall at all points of a script."""
CHILD = f"""
import sys, time
from pathlib import Path
sys.path.insert(0, {str(TESTS)!r})
from edit_scripts import Script
from napari_wbc_nca.project.project import Project
folder, seed = Path(sys.argv[1]), int(sys.argv[2])
script = Script(seed, {SHAPE})
project = Project(folder / "p", create=True)
image = project.add_image(folder / "smear.png")
journal = project.add_layer(image, "cells", script.labels, script.rows)
print("begun", flush=True)
while sum(action == "edit" for action in script.transactions) < {EDITS}:
    script.step(journal)
    time.sleep({PAUSE})
project.database.flush()
print("done", flush=True)
sys.stdin.read()
"""


def main() -> None:
    """Run and print the figures."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    committed, exact = [], 0
    for seed in range(runs):
        with tempfile.TemporaryDirectory() as folder:
            steps, same = killed(Path(folder), seed)
        committed.append(steps)
        exact += same
    print(
        f"{exact} of {runs} exact; {min(committed)} to {max(committed)} transactions were "
        f"committed before the kill, {sum(committed) / runs:.0f} on average"
    )


def killed(folder: Path, seed: int) -> tuple[int, bool]:
    """Kill one script; returns the transactions committed, and whether the journal is exact."""
    (folder / "smear.png").write_bytes(b"not read")
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(folder), str(seed)], stdin=pipe, stdout=pipe
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(random.Random(seed).uniform(0, 0.6))
        child.kill()
    with Project(folder / "p") as project:
        ((steps,),) = project.database.query("SELECT count(*) FROM transactions")
        labels, rows = project.journal(1).restore()
    replay = Script(seed, SHAPE)
    while len(replay.transactions) < steps:
        replay.step()
    return steps, bool((labels == replay.labels).all()) and rows == replay.rows


if __name__ == "__main__":
    main()
