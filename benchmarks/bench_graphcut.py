"""Graph cuts of 300 cells of a synthetic field of 1040×1392 pixels.

``python benchmarks/bench_graphcut.py`` prints seconds of one processor core for both kinds of
costs: what other programs do at the same time does not count.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from bench_guided import centres
from scipy import ndimage as ndi

from napari_wbc_nca.ops.minimum_cut import code_costs, minimum_cut, paper_costs

HALF = 36  # px from a centroid to the edge of its window: the reach of a Gaussian of σ 12


def main() -> None:
    """Cut every cell out of its window and print the time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shape", type=int, nargs=2, default=(1040, 1392))
    parser.add_argument("--cells", type=int, default=300)
    options = parser.parse_args()
    shape = tuple(options.shape)
    places = np.asarray([(c.y, c.x) for c in centres(options.cells, shape).values()])
    random = np.random.default_rng(1)
    radii = random.uniform(11, 18, len(places))
    y, x = np.mgrid[: shape[0], : shape[1]]
    owner = np.zeros(shape, int)
    for number, ((cy, cx), radius) in enumerate(zip(places, radii, strict=True), 1):
        owner[np.hypot(y - cy, x - cx) <= radius] = number
    edge = ndi.binary_dilation(owner > 0, iterations=2) & ~ndi.binary_erosion(owner > 0)
    bright = 0.45 - 0.15 * (owner > 0) + 0.4 * edge  # dark cells with bright rims
    bright = np.clip(ndi.gaussian_filter(bright, 1) + random.normal(0, 0.03, shape), 0, 1)
    # Contributions are a sprinkling of points on each cell.
    seeds = np.where(random.random(shape) < 0.15, owner, 0)
    for costs_of in (code_costs, paper_costs):
        spent = 0.0
        for number, place in enumerate(places, 1):
            part = tuple(slice(max(0, int(at) - HALF), int(at) + HALF + 1) for at in place)
            own = ndi.binary_fill_holes(seeds[part] == number)
            other = (seeds[part] > 0) & (seeds[part] != number)
            values = bright[part] if costs_of is code_costs else 1 - bright[part]
            start = time.process_time()
            minimum_cut(costs_of(values, own, other))
            spent += time.process_time() - start
        print(f"{costs_of.__name__}: {options.cells} cuts in {spent:.2f} s")


if __name__ == "__main__":
    main()
