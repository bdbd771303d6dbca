from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from napari_wbc_nca.io.model_store import import_published, resolve
from napari_wbc_nca.io.weights import WeightsError, load, save
from napari_wbc_nca.methods.propagation.detect import load_detector
from napari_wbc_nca.models.build import check_weights

WIDTHS = (6, 8, 10, 12, 12)
DECODER = ((24, 10), (20, 8), (16, 6), (12, 6))


def state_dict(channels=1, outputs=1):
    """Random parameters under the published names."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(*shape, generator=generator)

    def double(name, before, after):
        for number, inputs in ((0, before), (3, after)):
            state[f"{name}.{number}.weight"] = draw(after, inputs, 3, 3) * (2 / inputs / 9) ** 0.5
            state[f"{name}.{number}.bias"] = 0.1 * draw(after)
            state[f"{name}.{number + 1}.weight"] = 1 + 0.2 * draw(after)
            state[f"{name}.{number + 1}.bias"] = 0.2 * draw(after)
            state[f"{name}.{number + 1}.running_mean"] = 0.2 * draw(after)
            state[f"{name}.{number + 1}.running_var"] = 1 + 0.3 * torch.rand(
                after, generator=generator
            )
            state[f"{name}.{number + 1}.num_batches_tracked"] = torch.tensor(7)

    state = {}
    double("inc.conv.conv", channels, WIDTHS[0])
    for level in range(1, 5):
        double(f"down{level}.mpconv.1.conv", WIDTHS[level - 1], WIDTHS[level])
    for level, (before, after) in enumerate(DECODER, start=1):
        double(f"up{level}.conv.conv", before, after)
    state["outc.conv.weight"] = draw(outputs, DECODER[-1][1], 1, 1)
    state["outc.conv.bias"] = draw(outputs)
    return state


def published_likelihood(state, image):
    """The published network, written down plainly."""

    def double(name, x):
        for number in (0, 3):
            conv, norm = f"{name}.{number}", f"{name}.{number + 1}"
            x = F.conv2d(x, state[f"{conv}.weight"], state[f"{conv}.bias"], padding=1)
            mean, var = (state[f"{norm}.running_{k}"][:, None, None] for k in ("mean", "var"))
            x = (x - mean) / torch.sqrt(var + 1e-5)
            x = x * state[f"{norm}.weight"][:, None, None] + state[f"{norm}.bias"][:, None, None]
            x = x.clamp(min=0)
        return x

    def twice(x):
        """Bilinear upsampling whose corners stay where they are, one axis after the other."""
        for axis in (2, 3):
            size = x.shape[axis]
            at = np.arange(2 * size) * (size - 1) / (2 * size - 1)
            low = np.minimum(at.astype(int), size - 2)
            part = (
                torch.from_numpy(at - low).float().view([-1 if a == axis else 1 for a in range(4)])
            )
            x = (
                x.index_select(axis, torch.from_numpy(low)) * (1 - part)
                + x.index_select(axis, torch.from_numpy(low + 1)) * part
            )
        return x

    skips = [double("inc.conv.conv", image)]
    for level in range(1, 5):
        skips.append(double(f"down{level}.mpconv.1.conv", F.max_pool2d(skips[-1], 2)))
    x = skips.pop()
    for level in range(1, 5):
        x = double(f"up{level}.conv.conv", torch.cat([skips.pop(), twice(x)], 1))
    return torch.sigmoid(F.conv2d(x, state["outc.conv.weight"], state["outc.conv.bias"]))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "C2C12.pth"
    torch.save(state_dict(), path)
    return path


def test_runs_as_it_was_trained(file, tmp_path):
    checkpoint = import_published(file, method="propagation")
    save(checkpoint, tmp_path / "kept.safetensors")
    kept = load(tmp_path / "kept.safetensors")
    image = torch.rand(1, 1, 64, 48, generator=torch.Generator().manual_seed(1))
    found = torch.sigmoid(load_detector(kept, "cpu")(image))
    expected = published_likelihood(state_dict(), image)
    assert expected.std() > 0.02
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_what_the_checkpoint_says(file):
    checkpoint = import_published(file, method="propagation")
    assert checkpoint.classes == ("cell",)
    assert checkpoint.architecture == {
        "channels_in": 1,
        "outputs": 1,
        "widths": "6-8-10-12-12",
        "align_corners": True,
    }
    assert checkpoint.card["scale"] == "pixels"
    assert checkpoint.card["sigma"] == 12
    assert checkpoint.card["least"] == {"cell": 125 / 255}


def test_its_layout_is_recognised(file, tmp_path):
    assert import_published(file).method == "propagation"
    assert resolve(file).classes == ("cell",)
    torch.save(state_dict(outputs=2), tmp_path / "two.pth")
    with pytest.raises(WeightsError, match=r"has 2 outputs, .*models import FILE"):
        resolve(tmp_path / "two.pth")


def test_several_outputs_are_named(tmp_path):
    path = tmp_path / "two.pth"
    torch.save(state_dict(channels=3, outputs=2), path)
    checkpoint = import_published(path, ("a", "b"), "propagation")
    assert checkpoint.classes == ("a", "b")
    assert checkpoint.architecture["channels_in"] == 3
    with pytest.raises(WeightsError, match=r"has 2 outputs, but .*models import"):
        import_published(path, method="propagation")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("outc.conv.weight"), "outc.conv.weight are expected"),
        (lambda s: s.pop("down3.mpconv.1.conv.3.bias"), "encoder.3.3.bias .* is missing"),
        (lambda s: s.update({"p0.weight": torch.zeros(3)}), "p0.weight is not expected"),
        (lambda s: s.update({"up2.conv.conv.0.bias": torch.zeros(3)}), r"instead of \(8,\)"),
        (lambda s: s["inc.conv.conv.0.bias"].fill_(torch.nan), "holds NaN or infinity"),
        (lambda s: s.update({"outc.conv.weight": torch.zeros(())}), "are expected; found"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, change, message):
    state = state_dict()
    change(state)
    path = tmp_path / "odd.pth"
    torch.save(state, path)
    with pytest.raises(WeightsError, match=message):
        check_weights(import_published(path, method="propagation"), path)
