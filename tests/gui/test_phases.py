"""Every message of a run belongs to a phase, or the time left would be wrong."""

from __future__ import annotations

import numpy as np
import pytest

from napari_wbc_nca.io import model_store
from napari_wbc_nca.io.images import read, sample_path
from napari_wbc_nca.methods import registry
from napari_wbc_nca.types import Image
from napari_wbc_nca.widgets.method_form import display_of
from napari_wbc_nca.workflow import segment


@pytest.mark.parametrize("name", ["wbc-smear", "smear-cells", "smear-mix"])
def test_phases_cover_all_messages_of_a_run(name):
    checkpoint = model_store.resolve(name)
    pixels = np.asarray(read(sample_path("smear-1")).pixels)[::2, ::2]
    params = registry.get(checkpoint.method).predict_params(maps=True)
    phases = tuple("|".join(display_of(checkpoint.method).phases).split("|"))
    messages = {step.message for step in segment.run(Image(pixels), checkpoint, params)}
    assert len(messages) > 1
    assert not [message for message in messages if not message.startswith(phases)]
