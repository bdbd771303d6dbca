"""The small automaton of benchmarks that compare: it learns in minutes on one core."""

from napari_wbc_nca.methods.params import NcaTrainParams

SMALL = NcaTrainParams(
    channels=16,
    hidden=32,
    steps=24,
    pooling="parts",
    window=48,
    diameter=28.0,
    pixel_size=0.45,
    normalisation="absorptance",
    epochs=8,
    samples_per_epoch=640,
    typed_share=0.5,
    learning_rate=4e-3,
    decay=0.9973,
    gamma=1.0,
    centre_weight=2.0,
    refit=1024,
    validation=0.0,
    device="cpu",
)
"""Parameters of its training."""
