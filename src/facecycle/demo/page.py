"""The page itself. Gradio takes seconds to import, so nothing else imports this file."""

from __future__ import annotations

import os
import re
import signal
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when gradio is imported
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ["GRADIO_RUN_HISTORY"] = "False"  # it would keep pictures in the browser, and offers to send them away

import gradio as gr
from gradio import themes
from gradio_client.utils import is_file_obj_with_meta, is_http_url_like, traverse
from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from facecycle.api import FaceCycle
from facecycle.demo import verbs
from facecycle.errors import FaceCycleError
from facecycle.serve.hosts import Hosts, names

KEPT, SWEEP = 3600, 300  # seconds that a picture may be played with, and between two looks for older ones
SECONDS = verbs.LIMITS.seconds  # that a visitor waits for a picture
WAITING = 16  # visitors at a time; more are told that the page is busy
_WORKERS = ThreadPoolExecutor(2, thread_name_prefix="facecycle-demo")
BUTTONS: Any = ["download", "fullscreen"]  # without the one that shares a picture elsewhere
SOURCES = ["upload", "webcam", "clipboard"]
# Fonts of the visitor's own machine: gradio's usual ones come from elsewhere.
THEME = themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
NOTE = (
    "Pictures stay on this machine, and are deleted after an hour or when the page is stopped. Not for identifying or "
    "tracking people without their consent, nor for judging anybody by their face, nor for deceiving."
)


ADDRESS = "an address instead of a file: nothing is fetched; send the picture itself"


class Page(gr.Blocks):
    """A page that fetches no picture: gradio would, where a visitor sends an address in a file's place."""

    async def preprocess_data(self, block_fn: Any, inputs: list[Any], *others: Any, **named: Any) -> Any:
        """Refuse addresses, wherever among the inputs, before gradio looks at them."""
        traverse(inputs, _refuse_address, is_file_obj_with_meta)
        return await super().preprocess_data(block_fn, inputs, *others, **named)


def _refuse_address(file: dict[str, Any]) -> dict[str, Any]:
    if is_http_url_like(file["path"]):  # its url is the page's own, and never followed
        raise gr.Error(ADDRESS, print_exception=False)
    return file


class OwnFiles:
    """ASGI middleware that answers 400 where a file of the page is asked by an address, which gradio would fetch."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and is_http_url_like(re.sub(r"^.*?/file[=/]", "", scope["path"])):
            await JSONResponse({"detail": ADDRESS}, 400)(scope, receive, send)
            return
        await self.app(scope, receive, send)


def build_page(fc: FaceCycle, examples: list[str]) -> gr.Blocks:
    """The page.

    Args:
        fc: trained weights.
        examples: pictures to try.
    """
    with Page(title="FaceCycle", analytics_enabled=False, delete_cache=(SWEEP, KEPT - SWEEP)) as page:
        gr.Markdown(f"# FaceCycle\n{NOTE}\n\nWeights: {Path(fc.about.source).name}, licence {fc.about.licence}")
        with gr.Tab("Undo"):
            _undo_tab(fc, examples)
        with gr.Tab("Expression"):
            _expression_tab(fc, examples)
        with gr.Tab("Transfer"):
            _transfer_tab(fc, examples)
        with gr.Tab("Compare"):
            _compare_tab(fc, examples)
    page.queue(max_size=WAITING, default_concurrency_limit=1)
    return page


def _undo_tab(fc: FaceCycle, examples: list[str]) -> None:
    with gr.Row():
        picture = _picture("Picture", "undo-picture")
        steps = gr.Gallery(
            label="Undone step by step", columns=2, object_fit="contain", elem_id="undo-result", buttons=BUTTONS
        )
    gr.Examples([[file] for file in examples], [picture], label="Synthetic people")
    picture.change(_told(lambda path: verbs.undo(fc, path) if path else []), picture, steps, api_visibility="private")


def _expression_tab(fc: FaceCycle, examples: list[str]) -> None:
    with gr.Row():
        picture = _picture("Picture", "express-picture")
        result = gr.Image(label="Result", elem_id="express-result", interactive=False, format="png", buttons=BUTTONS)
    label = "How much of the expression stays: 0 none, 1 all of it, 2 twice as much, -1 its opposite"
    keep = gr.Slider(-1, 2, 0, step=0.05, label=label, elem_id="express-keep")
    gr.Examples([[file] for file in examples], [picture], label="Synthetic people")
    run = _told(lambda path, much: verbs.express(fc, path, much) if path else None)
    picture.change(run, [picture, keep], result, api_visibility="private")
    keep.release(run, [picture, keep], result, api_visibility="private")


def _transfer_tab(fc: FaceCycle, examples: list[str]) -> None:
    with gr.Row():
        source, driver = _picture("Who", "transfer-source"), _picture("Expression and pose of", "transfer-driver")
        result = gr.Image(label="Result", elem_id="transfer-result", interactive=False, format="png", buttons=BUTTONS)
    identity = gr.Slider(0, 1, 1, step=0.05, label="How much of the person", elem_id="transfer-identity")
    motion = gr.Slider(0, 1, 1, step=0.05, label="How much of the motion", elem_id="transfer-motion")
    label = "The expression alone: the pose stays, and the whole person"
    keep_pose = gr.Checkbox(False, label=label, elem_id="transfer-keep-pose")
    pairs = [list(pair) for pair in pairwise(examples)]
    gr.Examples(pairs, [source, driver], label="Synthetic people")

    def run(a: str | None, b: str | None, who: float, how: float, still: bool) -> Any:
        return verbs.transfer(fc, a, b, who, how, still) if a and b else None

    asked: list[Any] = [source, driver, identity, motion, keep_pose]
    for part in (source, driver, keep_pose):
        part.change(_told(run), asked, result, api_visibility="private")
    for slider in (identity, motion):
        slider.release(_told(run), asked, result, api_visibility="private")


def _compare_tab(fc: FaceCycle, examples: list[str]) -> None:
    with gr.Row():
        a, b = _picture("One", "compare-a"), _picture("Other", "compare-b")
    verdict = gr.Markdown(elem_id="compare-result")
    gr.Examples([[examples[0], file] for file in examples[:2]] if examples else [[]], [a, b], label="Synthetic people")

    def run(one: str | None, other: str | None) -> str:
        return verbs.compare(fc, one, other) if one and other else ""

    for part in (a, b):
        part.change(_told(run), [a, b], verdict, api_visibility="private")


def _picture(label: str, name: str) -> gr.Image:
    """A place for a picture, which reaches the verbs as the file that was sent.

    By default gradio itself would turn it to RGB first: before any limit, by any reader that Pillow has, with 16 bits
    all white and transparent pixels opaque.
    """
    sources: Any = SOURCES
    return gr.Image(label=label, type="filepath", image_mode=None, sources=sources, elem_id=name, height=300)


def _told(verb: Callable[..., Any]) -> Callable[..., Any]:
    """The verb, with its errors, and a wait that is too long, as messages on the page."""

    def run(*arguments: Any) -> Any:
        job = _WORKERS.submit(verb, *arguments)
        try:
            return job.result(SECONDS)
        except TimeoutError:
            job.cancel()  # nobody waits for it now, so it shall not keep others waiting
            raise gr.Error(f"no answer within {SECONDS:g} s; try a smaller picture", print_exception=False) from None
        except FaceCycleError as error:
            raise gr.Error(str(error), print_exception=False) from None

    return run


def launch(fc: FaceCycle, host: str, port: int | None, open_browser: bool) -> None:
    """Serve the page until it is stopped; no picture that was sent to it outlives it."""
    with tempfile.TemporaryDirectory(prefix="facecycle-demo-") as folder:
        os.environ["GRADIO_TEMP_DIR"] = str(Path(folder, "sent"))
        examples = Path(folder, "examples")
        examples.mkdir()
        page = build_page(fc, verbs.draw_examples(examples))
        address = start(page, host, port, [str(examples)], open_browser)
        if threading.current_thread() is threading.main_thread():
            for name in ("SIGTERM", "SIGHUP"):  # the folder is deleted then too
                if hasattr(signal, name):
                    signal.signal(getattr(signal, name), signal.default_int_handler)
        print(f"facecycle demo at {address} (Ctrl-C stops it)", flush=True)
        page.block_thread()


def start(page: gr.Blocks, host: str, port: int | None, folders: list[str], open_browser: bool = False) -> str:
    """Serve the page from threads of its own; returns its address."""
    allowed = names(host)
    doors = [Middleware(OwnFiles)] if allowed is None else [Middleware(Hosts, names=allowed), Middleware(OwnFiles)]
    _, address, _ = page.launch(
        server_name=host, server_port=port, inbrowser=open_browser, share=False, max_file_size=verbs.LIMITS.bytes,
        allowed_paths=folders, theme=THEME, quiet=True, ssr_mode=False, footer_links=[], enable_monitoring=False,
        prevent_thread_lock=True, app_kwargs={"middleware": doors},
    )  # fmt: skip
    return address
