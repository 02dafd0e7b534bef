"""The page as a visitor sees it, and the function behind its button."""

import glob
import os
import shutil
import tempfile

import keras
import pytest

from keras_regen.demo import import_gradio, page, serve
from keras_regen.latents import Latents
from keras_regen.video import VideoReader

gradio = pytest.importorskip("gradio")

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FILLED = "() => document.querySelector('#prompt textarea').value == 'a three'"
SHOWN = "video => video.readyState >= 2 && video.duration > 0"
only_once = pytest.mark.skipif(
    keras.backend.backend() != "torch",
    reason="the page is the same; what is behind it is tested on every backend",
)


@pytest.fixture(autouse=True)
def temporary_files(monkeypatch, tmp_path):
    """Files of the page, none of which may stay."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield
    assert not glob.glob(f"{folder}/keras-regen-*")


@pytest.fixture
def handle(regenerator):
    return page._make_handler(import_gradio(), regenerator)


def test_shows_the_result_first_and_then_slow_motion(handle, preset, clip):
    results = handle(clip, preset, 1, 0, "2 times", "30", lambda *_, **__: None)
    original, decoded, summary, latents, slow = next(results)
    assert slow is None and "| ratio | 1 : 42 |" in summary
    assert len(Latents.load(latents.value["path"])) == 7
    with VideoReader(original) as one, VideoReader(decoded) as other:
        assert one.fps == other.fps == 10
    *same, summary, _, slow = next(results)
    assert same == [original, decoded] and "0.5 times the speed" in summary
    with VideoReader(slow) as reader:
        assert (reader.fps, reader.num_frames) == (30, 42)
    # Only now, since Gradio copies files after each `yield`.
    assert next(results, None) is None and not os.path.exists(slow)


@only_once
def test_errors_are_messages(handle, preset, clip, tmp_path, monkeypatch, caplog):
    bad = tmp_path / "bad.mp4"
    bad.write_text("no video")

    def message(*arguments):
        with pytest.raises(gradio.Error) as caught:
            next(handle(*arguments, 1, 0, "off", "as the clip"))
        return caught.value.message

    assert "Upload a clip first" in message(None, preset)
    text = message(bad, preset)
    assert text.startswith("Cannot read the video") and str(tmp_path) not in text
    assert "The presets are" in message(clip, "/etc")
    assert not caplog.records
    monkeypatch.setattr(page.logging.getLogger(page.__name__), "disabled", False)
    monkeypatch.setattr("keras_regen.demo.regenerator.psnr", lambda *_: 1 / 0)
    assert "Something went wrong" in message(clip, preset)
    assert "ZeroDivisionError" in caplog.text


@only_once
def test_without_gradio(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "gradio", None)
    with pytest.raises(ImportError, match=r"keras-regen\[demo\]"):
        import_gradio()


@pytest.fixture
def browser():
    browsers = pytest.importorskip("playwright.sync_api")
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip("there is no Chromium")
    with browsers.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=path, args=["--no-sandbox", "--disable-gpu"]
        )
        yield chromium
        chromium.close()


# Gradio sets an option of pandas that is going away.
@pytest.mark.filterwarnings("ignore:'future.no_silent_downcasting' is deprecated")
@only_once
def test_in_a_browser(browser, regenerator, clip, tmp_path):
    bad = tmp_path / "bad.mp4"
    bad.write_text("no video")
    requests = []
    with serve(regenerator) as url:
        tab = browser.new_page()
        tab.on("request", lambda request: requests.append(request.url))
        tab.goto(url)
        tab.set_input_files("#clip input[type=file]", bad)
        # A player that cannot play what was uploaded.
        tab.wait_for_selector("#clip video", state="attached")
        tab.get_by_role("button", name="Re-generate").click()
        tab.get_by_text("Cannot read the video").wait_for()

        tab.get_by_label("Clear").first.click()
        tab.set_input_files("#clip input[type=file]", clip)
        tab.wait_for_selector("#clip video")
        tab.get_by_role("button", name="Re-generate").click()
        tab.wait_for_selector("#slow video")
        for name in ("original", "decoded", "slow"):
            video = tab.locator(f"#{name} video")
            handle = video.element_handle()
            tab.wait_for_function(SHOWN, arg=handle)
            assert handle.evaluate("video => video.videoWidth") == 32
            handle.evaluate("video => { video.loop = true; return video.play(); }")
            tab.wait_for_function("video => video.currentTime > 0.1", arg=handle)
        assert "dB" in tab.locator("#summary").inner_text()
        with tab.expect_download() as download:
            tab.locator("#latents").click()
        download.value.save_as(tmp_path / "latents.h5")

        tab.get_by_role("tab", name="Generate", exact=True).click()
        tab.get_by_text("a three").click()
        # The text comes from the server.
        tab.wait_for_function(FILLED)
        tab.locator("#generate").click()
        handle = tab.wait_for_selector("#generated video")
        tab.wait_for_function(SHOWN, arg=handle)
        assert handle.evaluate("video => video.videoWidth") == 32
        tab.locator("#prompt textarea").fill("a four")
        tab.locator("#generate").click()
        tab.get_by_text("To read any text").wait_for()
    assert len(Latents.load(tmp_path / "latents.h5")) == 7
    # Nothing comes from, or goes to, another server.
    assert requests
    assert all(r.startswith((url, "blob:", "data:")) for r in requests)
