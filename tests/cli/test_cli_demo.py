from __future__ import annotations

from napari_wbc_nca.datasets import readers
from napari_wbc_nca.datasets.synthetic import KINDS
from napari_wbc_nca.evaluation.class_maps import read_class_images


def test_demo_writes_cultures_to_train_and_measure_on(wbc, tmp_path, monkeypatch):
    monkeypatch.setattr("napari_wbc_nca.cli.demo.TRAINING", 2)
    monkeypatch.setattr("napari_wbc_nca.cli.demo.TEST", 1)
    done = wbc("demo", "--cultures", "-o", tmp_path / "c")
    assert (done.status, done.err) == (0, "")
    learnt = readers.read(tmp_path / "c" / "populations")
    assert sorted(sample.kinds[0] for sample in learnt) == sorted(2 * list(KINDS))
    pictures = list(read_class_images(tmp_path / "c" / "test"))
    assert {picture.data for picture in pictures} == {"unmixed", "mixed", "artificial"}
    assert f"train cellmixer {tmp_path}/c/populations" in done.out
    seen = {sample.path.read_bytes() for sample in learnt}
    shown = {p.read_bytes() for p in (tmp_path / "c" / "test" / "unmixed").glob("*.png")}
    assert not seen & shown


def test_cultures_that_cannot_be_written_say_so(wbc, tmp_path):
    (tmp_path / "file").touch()
    done = wbc("demo", "--cultures", "-o", tmp_path / "file")
    assert done.status == 1
    assert "file" in done.err
