"""The page in a real headless Chromium: upload, sliders, results, messages, a narrow window, nothing from elsewhere."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import httpx
import pytest

from facecycle import FaceCycleError
from facecycle.data.pictures import UploadLimits
from facecycle.demo import verbs
from facecycle.model.weights import save_weights
from tiny import MODEL, QUIET, tiny_networks

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WAIT = 30_000  # milliseconds


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return verbs.draw_examples(tmp_path_factory.mktemp("examples"), people=2)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The command itself, in a process of its own."""
    run = tmp_path_factory.mktemp("weights")
    save_weights(tiny_networks(), run / "weights.safetensors", MODEL, "CC0", {"stage": "identity"})
    command = [str(Path(sys.executable).with_name("facecycle")), "demo", "--weights", str(run), "--device", "cpu"]
    kept = tmp_path_factory.mktemp("kept")
    with subprocess.Popen(command, env={**QUIET, "TMPDIR": str(kept)}, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        try:
            yield re.search(r"http://127\.0\.0\.1:\d+", line)[0]  # type: ignore[index]
        finally:
            sent = list(kept.glob("facecycle-demo-*/sent/**/*.png"))
            process.terminate()  # a shell's background jobs ignore SIGINT
            process.wait(30)
    assert sent  # that is where pictures lie
    assert not [path for path in kept.rglob("*") if path.is_file()]  # what was sent is gone


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def tab(browser: Any, address: str) -> Iterator[Any]:
    page = browser.new_page(viewport={"width": 1100, "height": 900})
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address, wait_until="networkidle")
    yield page
    page.close()
    elsewhere = {urlparse(url).hostname for url in asked if url.startswith("http")} - {"127.0.0.1"}
    assert not elsewhere


def drop(tab: Any, place: str, file: str) -> None:
    tab.locator(f"#{place} input[type=file]").set_input_files(file)


def test_a_dropped_picture_is_undone_step_by_step(tab: Any, examples: list[str]) -> None:
    drop(tab, "undo-picture", examples[0])
    tab.wait_for_selector("#undo-result img", timeout=WAIT)
    tab.wait_for_function("document.querySelectorAll('#undo-result img').length >= 5", timeout=WAIT)
    text = tab.inner_text("#undo-result")
    for title in ("face", "no expression", "neutral, frontal", "mean face", "flow"):
        assert title in text


def transferred(tab: Any, examples: list[str]) -> str:
    """One face in another's motion; the address of the result."""
    tab.get_by_role("tab", name="Transfer").click()
    drop(tab, "transfer-source", examples[0])
    drop(tab, "transfer-driver", examples[1])
    tab.wait_for_selector("#transfer-result img", timeout=WAIT)
    return tab.get_attribute("#transfer-result img", "src")


def wait_for_another(tab: Any, first: str, place: str = "transfer-result") -> None:
    """Until the result is no longer the first one."""
    tab.wait_for_function(
        "([place, first]) => document.querySelector(`#${place} img`)?.getAttribute('src') !== first",
        arg=[place, first],
        timeout=WAIT,
    )


def slide_down(tab: Any, place: str) -> None:
    """A slider to its lower end."""
    box = tab.locator(f"#{place} input[type=range]").bounding_box()
    tab.mouse.click(box["x"] + 4, box["y"] + box["height"] / 2)


def test_sliders_change_the_result(tab: Any, examples: list[str]) -> None:
    first = transferred(tab, examples)
    slide_down(tab, "transfer-identity")
    wait_for_another(tab, first)


def test_an_expression_is_turned_down(tab: Any, examples: list[str]) -> None:
    tab.get_by_role("tab", name="Expression").click()
    drop(tab, "express-picture", examples[0])
    tab.wait_for_selector("#express-result img", timeout=WAIT)
    first = tab.get_attribute("#express-result img", "src")
    slide_down(tab, "express-keep")
    wait_for_another(tab, first, "express-result")


def test_the_pose_may_be_kept(tab: Any, examples: list[str]) -> None:
    first = transferred(tab, examples)
    tab.locator("#transfer-keep-pose input[type=checkbox]").check()
    wait_for_another(tab, first)


def test_two_pictures_are_compared(tab: Any, examples: list[str]) -> None:
    tab.get_by_role("tab", name="Compare").click()
    drop(tab, "compare-a", examples[0])
    drop(tab, "compare-b", examples[0])
    tab.wait_for_function("document.querySelector('#compare-result')?.innerText.includes('Identity')", timeout=WAIT)
    assert "1.000" in tab.inner_text("#compare-result")


def test_a_bad_file_gives_a_message(tab: Any, tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no picture at all")
    drop(tab, "undo-picture", str(bad))
    tab.wait_for_selector("[data-testid=toast-body], .toast-body, .error", timeout=WAIT)


def test_a_picture_without_a_face_says_so(tab: Any, tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (300, 300), (90, 140, 90)).save(tmp_path / "meadow.png")
    drop(tab, "undo-picture", str(tmp_path / "meadow.png"))
    tab.wait_for_selector("text=no face", timeout=WAIT)


def test_a_phone_shows_everything_without_scrolling_sideways(browser: Any, address: str, examples: list[str]) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(address, wait_until="networkidle")
    drop(page, "undo-picture", examples[0])
    page.wait_for_selector("#undo-result img", timeout=WAIT)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.close()


def test_the_page_answers_to_this_machine_s_names_alone(address: str) -> None:
    """Any site may give its own name the address 127.0.0.1."""
    asked = {"data": [None], "fn_index": 0, "session_hash": "x"}
    for host, status in (("evil.com", 400), ("evil.com:7860", 400), ("localhost:7860", 200), ("[::1]", 200)):
        sent = {"host": host, "origin": f"http://{host}"}
        assert httpx.get(address, headers=sent).status_code == status
        assert httpx.post(f"{address}/gradio_api/queue/join", json=asked, headers=sent).status_code == status


def test_the_page_fetches_no_address(address: str) -> None:
    """Neither in the place of a picture, nor in that of a slider, nor as a file to show."""
    elsewhere = "http://nowhere.invalid/x.png"
    sent = {"path": elsewhere, "meta": {"_type": "gradio.FileData"}}
    for index, given in enumerate(([sent], [None, sent])):
        asked = {"data": given, "fn_index": _function(address, len(given)), "session_hash": f"address{index}"}
        assert httpx.post(f"{address}/gradio_api/queue/join", json=asked).status_code == 200
        said = httpx.get(
            f"{address}/gradio_api/queue/data", params={"session_hash": f"address{index}"}, timeout=30
        ).text
        assert "nothing is fetched; send the picture itself" in said
    for place in ("file=", "file/"):
        answer = httpx.get(f"{address}/gradio_api/{place}{elsewhere}")
        assert (answer.status_code, answer.json()["detail"][:10]) == (400, "an address")


def _function(address: str, inputs: int) -> int:
    """A verb of the page that takes so many inputs."""
    known = httpx.get(f"{address}/config").json()["dependencies"]
    return next(one["id"] for one in known if one["backend_fn"] and len(one["inputs"]) == inputs)


def test_pictures_are_bounded_before_they_are_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import Image

    Image.new("RGB", (300, 300)).save(tmp_path / "large.png")
    monkeypatch.setattr(verbs, "LIMITS", UploadLimits(pixels=10_000))
    with pytest.raises(FaceCycleError, match="picture: 300x300 pixels, over the limit"):
        verbs.check_picture(str(tmp_path / "large.png"))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10_000)  # Pillow's own limit is a limit too, not damage
    with pytest.raises(FaceCycleError, match="picture: over the limit"):
        verbs.check_picture(str(tmp_path / "large.png"))
    with pytest.raises(FaceCycleError, match="drop one first"):
        verbs.check_picture(None)


def printed(code: str, *arguments: str) -> str:
    """What code prints in a process of its own: gradio's warnings are not ours."""
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, env=QUIET, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_is_sent_reaches_the_limits_as_it_is(tmp_path: Path) -> None:
    """Not opened and written anew by gradio: no matter the mode, and no matter what it is called."""
    import numpy as np
    from PIL import Image

    Image.fromarray(np.full((40, 50), 20_000, np.uint16)).save(tmp_path / "grey16.png")
    Image.new("RGBA", (50, 40), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    eps = '%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%ImageData: 9 9 8 1 0 1 1 "image"\n%%EndComments\n'
    (tmp_path / "script.png").write_text(eps)  # to turn it to RGB Pillow would run Ghostscript
    files = [str(file) for file in sorted(tmp_path.iterdir())]
    code = (
        "import sys\n"
        "from gradio.data_classes import ImageData\n"
        "from facecycle.demo.page import _picture\n"
        "for file in sys.argv[1:]:\n"
        "    print(_picture('Picture', 'place').preprocess(ImageData(path=file, orig_name=file)))\n"
    )
    assert printed(code, *files).split() == files
    with pytest.raises(FaceCycleError, match="no picture that can be read"):
        verbs.check_picture(str(tmp_path / "script.png"))


def test_a_wait_that_is_too_long_becomes_a_message_and_is_not_worked_on() -> None:
    code = (
        "import threading, gradio\n"
        "from facecycle.demo import page\n"
        "page.SECONDS, go_on = 0.05, threading.Event()\n"
        "for verb in (go_on.wait, go_on.wait, lambda: print('worked on in vain')):\n"  # one more than can be done
        "    try: page._told(verb)()\n"
        "    except gradio.Error as error: print(error.message)\n"
        "go_on.set()\n"
        "page.SECONDS = 60\n"
        "page._told(lambda: print('the next one'))()\n"
    )
    *messages, last = printed(code).splitlines()
    assert len(messages) == 3
    assert all("no answer within 0.05 s" in message for message in messages)
    assert last == "the next one"
