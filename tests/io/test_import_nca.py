from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from napari_wbc_nca.io.model_store import CLASSES, MEAN, STD, import_published, resolve
from napari_wbc_nca.io.weights import WeightsError, load, save
from napari_wbc_nca.models.build import check_weights
from napari_wbc_nca.models.nca import NCA


def state_dict(channels=12, hidden=10, classes=13, head=128):
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return 0.2 * torch.randn(*shape, generator=generator)

    return {
        "p0.weight": draw(channels, 1, 3, 3),
        "p0.bias": draw(channels),
        "p1.weight": draw(channels, 1, 3, 3),
        "p1.bias": draw(channels),
        "fc0.weight": draw(hidden, 3 * channels),
        "fc0.bias": draw(hidden),
        "fc1.weight": draw(channels, hidden),
        "fc2.weight": draw(head, channels),
        "fc2.bias": draw(head),
        "fc3.weight": draw(classes, head),
        "fc3.bias": draw(classes),
    }


def published_logits(state, image, steps):
    """The published network as its code runs it, all cells firing: images are (W, H)."""
    channels = len(state["p0.bias"])
    cells = torch.zeros(1, channels, *image.shape[1:])
    cells[0, :3] = image
    cells = cells.transpose(2, 3)  # (B, C, W, H)
    for _ in range(steps):
        padded = F.pad(cells, (1, 1, 1, 1), mode="reflect")
        seen = [cells] + [
            F.conv2d(padded, state[f"{p}.weight"], state[f"{p}.bias"], groups=channels)
            for p in ("p0", "p1")
        ]
        rows = torch.cat(seen, 1).permute(0, 2, 3, 1)
        update = F.relu(rows @ state["fc0.weight"].T + state["fc0.bias"]) @ state["fc1.weight"].T
        grown = cells + update.permute(0, 3, 1, 2)
        cells = torch.cat([cells[:, :3], grown[:, 3:]], 1)
    pooled = cells.amax((2, 3))
    hidden = F.relu(pooled @ state["fc2.weight"].T + state["fc2.bias"])
    return hidden @ state["fc3.weight"].T + state["fc3.bias"]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "WBC-NCA.pth"
    torch.save(state_dict(), path)
    return path


def network(checkpoint):
    made = NCA(**checkpoint.architecture)
    made.load_state_dict({n: torch.from_numpy(a) for n, a in checkpoint.weights.items()})
    return made


def test_logits_are_those_of_the_published_network(file):
    image = torch.rand(3, 12, 9, generator=torch.Generator().manual_seed(1))
    net = network(import_published(file))
    with torch.no_grad():
        logits = net.classify(net.rollout(image[None], fire_rate=1.0, steps=5))
    expected = published_logits(state_dict(), image, steps=5)
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=1e-5)
    unswapped = published_logits(
        {n: v.transpose(-1, -2) if v.ndim == 4 else v for n, v in state_dict().items()}, image, 5
    )
    assert (unswapped - expected).abs().max() > 0.1  # the test would see a missing swap


def test_all_that_is_known_of_it_is_kept(file, tmp_path):
    save(import_published(file), tmp_path / "kept.safetensors")
    kept = load(tmp_path / "kept.safetensors")
    assert (kept.method, kept.window, kept.classes) == ("nca_max", 64, CLASSES)
    assert kept.architecture == {
        **{"channels": 12, "hidden": 10, "steps": 64, "head": 128, "classes": 13},
        **{"pool": "max", "fire_rate": 0.5, "readouts": 0},
    }
    assert kept.normalisation == {"name": "published", "mean": list(MEAN), "std": list(STD)}
    assert kept.card["activation"] == "sigmoid"
    assert 25 <= kept.window * kept.pixel_size <= 29
    assert kept.name == "wbc-nca"


def test_the_weakly_supervised_form_pools_the_mean(tmp_path):
    torch.save(state_dict(channels=32, hidden=32, classes=2), tmp_path / "wss.pt")
    imported = import_published(tmp_path / "wss.pt", ["A ", "b"], method="nca_wss")
    assert imported.classes == ("a", "b")
    assert (imported.architecture["pool"], imported.architecture["steps"]) == ("mean", 32)


def test_the_published_size_has_the_published_number_of_parameters(tmp_path):
    torch.save(state_dict(channels=128, hidden=128), tmp_path / "full.pt")
    assert sum(a.size for a in import_published(tmp_path / "full.pt").weights.values()) == 86_413


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["a", "b"], r"has 13 outputs, but there are 2 class names \(a, b\)"),
        ("abc", r"classes is the text 'abc'; expected a list"),
        ([*CLASSES[:-1], "Monocyte"], r"class names must differ .* monocyte"),
    ],
)
def test_wrong_classes_are_refused(file, classes, message):
    with pytest.raises(WeightsError, match=message):
        import_published(file, classes)


def test_other_numbers_of_classes_ask_to_be_imported(tmp_path):
    torch.save(state_dict(classes=5), tmp_path / "five.pt")
    with pytest.raises(WeightsError, match=r"five.pt has 5 outputs, .*models import FILE .*CLASS"):
        resolve(tmp_path / "five.pt")


def test_unknown_methods_are_refused(file):
    with pytest.raises(WeightsError, match=r"method is 'unet'; choose one of nca_max, nca_wss"):
        import_published(file, method="unet")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fc1.weight": None}, r"is no WBC-NCA checkpoint: fc1.weight and fc3.weight"),
        ({"fc1.weight": torch.zeros(3)}, r"is no WBC-NCA checkpoint: fc1.weight and fc3.weight"),
        ({"fc1.weight": torch.zeros(2, 10)}, r"channels is 2; expected an integer in 4-512"),
        ({"p1.bias": None}, r"p1.bias \(12,\) is missing"),
        ({"extra": torch.zeros(2)}, r"extra \(2,\) is not expected"),
        ({"p0.weight": torch.zeros(12, 1, 5, 5)}, r"p0.weight is \(12, 1, 5, 5\) instead of"),
        ({"p0.bias": torch.full((12,), torch.nan)}, r"p0.bias holds NaN"),
    ],
)
def test_other_networks_are_refused(tmp_path, change, message):
    state = {n: v for n, v in {**state_dict(), **change}.items() if v is not None}
    torch.save(state, tmp_path / "other.pt")
    with pytest.raises(WeightsError, match=rf"other.pt .*{message}"):
        check_weights(import_published(tmp_path / "other.pt"), tmp_path / "other.pt")


def test_the_arrays_are_contiguous(file):
    assert all(a.flags.c_contiguous for a in import_published(file).weights.values())
    assert all(a.dtype == np.float32 for a in import_published(file).weights.values())
