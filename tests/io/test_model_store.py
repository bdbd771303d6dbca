from __future__ import annotations

import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from checkpoints import checkpoint

from napari_wbc_nca.io import model_store
from napari_wbc_nca.io.weights import WeightsError, load, save


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv(model_store.HOME, str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def bundled(tmp_path, monkeypatch):
    """A folder that stands for the bundled weights, with one model in it."""
    folder = tmp_path / "bundled"
    folder.mkdir()
    digest = save(checkpoint(name="wbc-smear"), folder / "wbc-smear.safetensors")
    (folder / "index.json").write_text(json.dumps({"wbc-smear": digest}))

    @contextmanager
    def stand_in():
        yield folder

    monkeypatch.setattr(model_store, "_bundled", stand_in)
    return folder


def test_bundled_models_come_first_then_the_users(bundled):
    model_store.register(checkpoint(), "a-mine")
    assert model_store.names() == ["wbc-smear", "a-mine"]


def test_a_name_a_user_model_and_a_file_resolve(bundled, tmp_path):
    model_store.register(checkpoint(), "mine")
    save(checkpoint(name="loose"), tmp_path / "loose.safetensors")
    assert model_store.resolve("wbc-smear").name == "wbc-smear"
    assert model_store.resolve("mine").name == "mine"
    assert model_store.resolve(tmp_path / "loose.safetensors").name == "loose"
    assert model_store.resolve(str(tmp_path / "loose.safetensors")).name == "loose"


@pytest.mark.parametrize("model", ["wbc-smaer", "gone.safetensors", "../wbc-smear"])
def test_an_unknown_model_lists_those_there_are(bundled, model):
    model_store.register(checkpoint(), "mine")
    with pytest.raises(WeightsError, match=r"is neither a file nor .* one of: wbc-smear, mine"):
        model_store.resolve(model)


def test_a_folder_is_no_model(bundled, tmp_path):
    with pytest.raises(WeightsError, match=r"is a folder; give a .safetensors file"):
        model_store.resolve(tmp_path)


def test_info_tells_all_but_the_weights(bundled):
    info = model_store.info("wbc-smear")
    assert info["card"]["licence"] == "MIT"
    assert info["classes"] == ["neutrophil", "lymphocyte", "none"]
    assert info["sha256"] == model_store.resolve("wbc-smear").sha256
    assert info["parameters"] == sum(a.size for a in checkpoint().weights.values())
    assert "weights" not in info


def test_verify_finds_a_changed_bundled_file(bundled):
    assert model_store.verify() == {"wbc-smear": ""}
    save(checkpoint(name="other"), bundled / "wbc-smear.safetensors")
    problem = model_store.verify("wbc-smear")["wbc-smear"]
    assert "the file was changed; install napari-wbc-nca again" in problem
    with pytest.raises(WeightsError, match="the file was changed"):
        model_store.resolve("wbc-smear")


def test_verify_finds_an_unlisted_bundled_file(bundled):
    (bundled / "index.json").write_text("{}")
    assert "but none is listed" in model_store.verify()["wbc-smear"]


def test_verify_finds_a_damaged_user_file(bundled):
    path = model_store.register(checkpoint(), "mine")
    path.write_bytes(path.read_bytes()[:-1])
    assert model_store.verify()["wbc-smear"] == ""
    assert "truncated or damaged" in model_store.verify()["mine"]


def test_what_is_really_bundled_is_whole():
    assert not any(model_store.verify().values())


def test_registering_never_replaces(bundled):
    path = model_store.register(checkpoint(diameter=30.0), "mine")
    for name in ("mine", "wbc-smear"):
        with pytest.raises(WeightsError, match=rf"a model '{name}' exists already"):
            model_store.register(checkpoint(), name)
    assert load(path).diameter == 30.0


@pytest.mark.parametrize("name", ["", "../x", "a b", "Ä", ".hidden", "x" * 65, "a.b"])
def test_names_that_are_no_file_names_are_refused(name):
    with pytest.raises(WeightsError, match=r"cannot name a model"):
        model_store.register(checkpoint(), name)


def test_a_home_that_cannot_be_made_is_named(home):
    home.write_text("a file in the way")
    with pytest.raises(WeightsError, match=r"models cannot be made: .*NAPARI_WBC_NCA_HOME"):
        model_store.register(checkpoint(), "mine")


@contextmanager
def serving(content, promised=None):
    """Address of a server that sends `content`, and the paths it was asked for."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200 if content else 404)
            self.send_header("Content-Length", str(promised or len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/model.safetensors", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def content(tmp_path):
    save(checkpoint(), tmp_path / "served.safetensors")
    return (tmp_path / "served.safetensors").read_bytes()


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def left_over(home):
    return [path for path in home.rglob("*") if path.is_file()]


def test_a_download_is_fetched_once(content, home):
    with serving(content) as (url, asked):
        first = model_store.download(url, sha256(content))
        assert model_store.download(url, sha256(content)) == first
    assert len(asked) == 1
    assert model_store.resolve(first).sha256 == sha256(content)
    assert home in first.parents


def test_a_download_with_another_hash_is_refused(content, home):
    with serving(content) as (url, _), pytest.raises(WeightsError, match=r"was not downloaded"):
        model_store.download(url, sha256(b"other"))
    assert not left_over(home)


def test_a_cut_download_is_refused(content, home):
    with (
        serving(content[:100], promised=len(content)) as (url, _),
        pytest.raises(WeightsError, match=r"was not downloaded"),
    ):
        model_store.download(url, sha256(content))
    assert not left_over(home)


def test_a_missing_page_is_refused(home):
    with serving(b"") as (url, _), pytest.raises(WeightsError, match=r"not downloaded: .*404"):
        model_store.download(url, sha256(b""))
    assert not left_over(home)


@pytest.mark.parametrize(
    ("url", "digest", "message"),
    [
        ("file:///etc/passwd", "0" * 64, "is no address; expected http"),
        ("http://example.org/x", "0" * 63, "expected 64 hexadecimal digits"),
    ],
)
def test_what_is_no_address_or_hash_is_refused(url, digest, message):
    with pytest.raises(WeightsError, match=message):
        model_store.download(url, digest)
