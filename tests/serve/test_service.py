"""The service over real HTTP: the same codes as the library, batches of strangers, limits, fuzz."""

from __future__ import annotations

import asyncio
import io
import socket
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
import uvicorn
from fastapi import FastAPI, UploadFile
from fastapi.testclient import TestClient
from PIL import Image

from facecycle import FaceCycle
from facecycle.draw import MADE
from facecycle.errors import FaceCycleError
from facecycle.model.weights import save_weights
from facecycle.serve import serve
from facecycle.serve.app import build_app
from facecycle.serve.batcher import Batcher
from facecycle.serve.endpoints import png
from facecycle.serve.faces import BadRequest
from facecycle.serve.hosts import LOCAL, names
from facecycle.serve.limits import Limits
from facecycle.serve.service import Room, Service
from tiny import MOVING, QUIET, SIZE, face_picture, moving_networks

FORM = "send multipart/form-data with each picture as a file, as curl -F picture=@portrait.jpg does"
LIMITS = Limits(bytes=200_000, pixels=100_000, seconds=10, pending=16, wait=0.05)


@pytest.fixture(scope="module")
def fc(tmp_path_factory: pytest.TempPathFactory) -> FaceCycle:
    run = tmp_path_factory.mktemp("weights")
    save_weights(moving_networks(), run / "weights.safetensors", MOVING, "CC0", {"stage": "identity"})
    return FaceCycle.from_pretrained(run, "cpu")


@contextmanager
def running(app: FastAPI) -> Iterator[uvicorn.Server]:
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield server
    finally:
        server.should_exit = True
        thread.join()


def client(server: uvicorn.Server) -> httpx.Client:
    port = server.servers[0].sockets[0].getsockname()[1]
    return httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60)


@pytest.fixture(scope="module")
def server(fc: FaceCycle) -> Iterator[uvicorn.Server]:
    with running(build_app(fc, LIMITS)) as server:
        yield server


@pytest.fixture(scope="module")
def web(server: uvicorn.Server) -> Iterator[httpx.Client]:
    with client(server) as web:
        yield web


def data(picture: Image.Image, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind)
    return stream.getvalue()


def upload(picture: Image.Image) -> UploadFile:
    return UploadFile(io.BytesIO(data(picture)))


def pending(web: httpx.Client) -> int:
    return web.get("/healthz").json()["pending"]


def wait_until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not true():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_health_says_which_weights(web: httpx.Client) -> None:
    about = web.get("/healthz").json()
    assert about["status"] == "ok"
    assert about["licence"] == "CC0"
    assert about["size"] == SIZE


def test_concurrent_requests_share_batches_and_give_the_library_s_codes(
    fc: FaceCycle, web: httpx.Client, server: uvicorn.Server
) -> None:
    pictures = [face_picture(i) for i in range(12)]
    wanted = fc.embed(pictures, cropped=True)
    batcher = server.config.app.state.service.batcher
    before = batcher.batches

    def ask(picture: Image.Image) -> dict:
        return web.post("/embed", params={"cropped": True}, files={"picture": data(picture)}).json()

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(ask, pictures))
    np.testing.assert_allclose([a["motion"] for a in answers], wanted.motion, atol=1e-5)
    np.testing.assert_allclose([a["identity"] for a in answers], wanted.identity, atol=1e-5)
    assert batcher.batches - before < 12


def test_pictures_equal_the_library_s(fc: FaceCycle, web: httpx.Client) -> None:
    a, b = face_picture(0), face_picture(1, 0.5)
    front = web.post("/frontalize?cropped=true", files={"picture": data(a)})
    assert front.headers["content-type"] == "image/png"
    shown = np.asarray(Image.open(io.BytesIO(front.content)), int)
    assert np.abs(shown - fc.frontalize(a, cropped=True).faces[0].astype(int)).max() <= 1
    assert Image.open(io.BytesIO(front.content)).info["Software"] == MADE
    half = web.post("/deexpress?cropped=true&keep=0.5", files={"picture": data(a)})
    shown = np.asarray(Image.open(io.BytesIO(half.content)), int)
    wanted, calm = (fc.deexpress(a, keep=keep, cropped=True).faces[0].astype(int) for keep in (0.5, 0.0))
    assert np.abs(shown - wanted).max() <= 1
    assert np.abs(calm - wanted).max() > 10
    small = web.post("/frontalize?cropped=true&size=40", files={"picture": data(a)})
    assert Image.open(io.BytesIO(small.content)).size == (40, 40)
    assert web.post("/frontalize?cropped=true&size=5000", files={"picture": data(a)}).status_code == 422
    moved = web.post(
        "/translate?cropped=true", files={"source": data(a), "driver": data(b)}, data={"identity": 0.5, "motion": 0.7}
    )
    shown = np.asarray(Image.open(io.BytesIO(moved.content)), int)
    wanted = fc.translate(a, b, identity=0.5, motion=0.7, cropped=True).faces[0].astype(int)
    assert np.abs(shown - wanted).max() <= 1
    still = web.post("/translate?cropped=true", files={"source": data(a), "driver": data(b)}, data={"keep_pose": True})
    shown = np.asarray(Image.open(io.BytesIO(still.content)), int)
    wanted = fc.translate(a, b, keep_pose=True, cropped=True).faces[0].astype(int)
    assert np.abs(shown - wanted).max() <= 1


def test_compare_is_the_library_s(fc: FaceCycle, web: httpx.Client) -> None:
    a, b = face_picture(0), face_picture(1)
    answer = web.post("/compare?cropped=true", files={"a": data(a), "b": data(b)}).json()
    wanted = fc.compare(a, b, cropped=True)
    assert answer["identity"] == pytest.approx(wanted.identity, abs=1e-5)
    assert answer["same_person"] == wanted.same_person
    assert answer["calibrated"] is False


def chunk(kind: bytes, payload: bytes) -> bytes:
    return len(payload).to_bytes(4, "big") + kind + payload + zlib.crc32(kind + payload).to_bytes(4, "big")


def bomb() -> bytes:
    """A PNG of 30000 x 30000 pixels in a hundred bytes."""
    header = (30000).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 1000))


@pytest.mark.parametrize(
    ("sent", "status", "said"),
    [
        (b"", 415, "empty"),
        (b"no picture at all", 415, "no picture"),
        (bomb(), 413, "over the limit"),
        (b"x" * 300_000, 413, "larger than 200,000 bytes"),
        (data(face_picture(0))[:200], 415, "picture"),
        (data(Image.new("RGB", (200, 200), (90, 120, 90))), 422, "no face"),
    ],
)
def test_bad_pictures_are_the_senders_errors(web: httpx.Client, sent: bytes, status: int, said: str) -> None:
    answer = web.post("/embed", files={"picture": ("a.png", sent)})
    assert answer.status_code == status
    assert said in answer.json()["detail"]
    wait_until(lambda: pending(web) == 0)


def test_strengths_out_of_range_are_refused(web: httpx.Client) -> None:
    files = {"source": data(face_picture(0)), "driver": data(face_picture(1))}
    assert web.post("/translate?cropped=true", files=files, data={"motion": 1.5}).status_code == 422
    assert web.post("/translate?cropped=true", files=files, data={"identity": "nan"}).status_code == 422
    half = web.post("/translate?cropped=true", files=files, data={"identity": 0.5, "keep_pose": True})
    assert half.status_code == 422
    assert "do not keep the pose" in half.json()["detail"]


@pytest.mark.parametrize(
    ("path", "sent", "said"),
    [
        ("/frontalize?size=5000", {"files": True}, "size=5000: input should be less than or equal to 1024"),
        ("/frontalize?keep=1", {"files": True}, "keep: not in the query; there: cropped, paste, size"),
        ("/frontalize", {"files": True, "data": {"size": 64}}, "size: not in the form; there: picture"),
        ("/healthz?deep=1", {}, "deep: not in the query; there: nothing"),
        ("/frontalize?size=64&size=32", {"files": True}, "size: 2 times in the query; give it once"),
        (
            "/frontalize",
            {"content": b"\xff\xd8" + b"x" * 99, "headers": {"content-type": "application/x-www-form-urlencoded"}},
            repr("\xff\xd8" + "x" * 38) + ": not in the form; there: picture",
        ),
        ("/frontalize", {"data": {"picture": "a.jpg"}}, "picture: send a file"),
        ("/frontalize", {}, "picture: missing"),
    ],
)
def test_options_that_cannot_be_are_one_line(web: httpx.Client, path: str, sent: dict, said: str) -> None:
    sent = {**sent, "files": {"picture": data(face_picture(0))}} if "files" in sent else sent
    answer = web.request("GET" if "healthz" in path else "POST", path, **sent)
    assert (answer.status_code, answer.json()["detail"]) == (422, said)


@pytest.mark.parametrize(
    ("kind", "sent", "said"),
    [
        ("multipart/form-data; boundary=b", b"no form", "invalid multipart data"),
        ("multipart/form-data", b"--b--", "missing boundary in multipart"),
        (
            "multipart/form-data; boundary=b",
            b'--b\r\nContent-Disposition: form-data; name="picture"\r\n\r\n' + b"x" * 1_100_000 + b"\r\n--b--\r\n",
            "exceeded maximum size of 1024KB",
        ),
    ],
)
def test_a_form_that_cannot_be_read_is_one_line(fc: FaceCycle, kind: str, sent: bytes, said: str) -> None:
    with running(build_app(fc, Limits())) as server, client(server) as web:
        answer = web.post("/embed", content=sent, headers={"content-type": kind})
    assert answer.status_code == 400
    assert said in answer.json()["detail"]
    assert answer.json()["detail"].endswith("; " + FORM)
    assert "400" in build_app(fc).openapi()["paths"]["/embed"]["post"]["responses"]


def test_a_service_without_a_detector_says_so(tmp_path: Path, fc: FaceCycle) -> None:
    (tmp_path / "none.onnx").write_text("no network")
    broken = FaceCycle.from_pretrained(Path(fc.about.source), "cpu", detector_weights=str(tmp_path / "none.onnx"))
    with TestClient(build_app(broken, LIMITS), raise_server_exceptions=False) as web:
        answer = web.post("/embed", files={"picture": data(face_picture(0))})
    assert answer.status_code == 500
    assert answer.json()["detail"].startswith(f"{tmp_path / 'none.onnx'}: no YuNet weights; give the file")


def test_weights_that_make_no_pictures_give_codes_alone(tmp_path: Path) -> None:
    trained = {"stage": "motion", "method": "simclr"}
    save_weights(moving_networks(), tmp_path / "weights.safetensors", MOVING, "CC0", trained)
    with TestClient(build_app(FaceCycle.from_pretrained(tmp_path, "cpu"), LIMITS)) as web:
        sent = {"files": {"picture": data(face_picture(0))}, "params": {"cropped": True}}
        assert web.post("/embed", **sent).status_code == 200
        answer = web.post("/frontalize", **sent)
        assert answer.status_code == 501
        assert "trained by simclr, which makes no pictures" in answer.json()["detail"]
        described = web.get("/openapi.json").json()["paths"]
    assert {path for path, verbs in described.items() if "501" in verbs.get("post", {}).get("responses", {})} == {
        "/frontalize", "/deexpress", "/translate"
    }  # fmt: skip


def test_others_are_answered_while_a_large_picture_is_written(fc: FaceCycle) -> None:
    async def turns() -> int:
        service = Service(fc, LIMITS)
        noise = np.random.default_rng(0).integers(0, 256, (600, 600, 3), dtype=np.uint8)
        writing, count = asyncio.create_task(service.in_thread(png, noise)), 0
        while not writing.done():
            await asyncio.sleep(0)
            count += 1
        service.close()
        assert Image.open(io.BytesIO(bytes(writing.result().body))).size == (600, 600)
        return count

    assert asyncio.run(turns()) > 5  # one, if it was written in the loop


def test_who_waits_for_a_moved_face_does_not_wait_for_those_behind(fc: FaceCycle) -> None:
    async def ask() -> int:
        service = Service(fc, LIMITS)
        faces = [service.finder.find(upload(face_picture(i)), "x", cropped=True, fine=64) for i in range(3)]
        moved = [service.translated(faces[0], face, 1.0, 1.0, False) for face in faces]
        await asyncio.gather(*moved)
        service.close()
        return service.batcher.batches

    assert asyncio.run(ask()) == 3


def test_a_service_on_this_machine_answers_to_its_own_names_alone(tmp_path: Path, fc: FaceCycle) -> None:
    """The command itself: any site may give its own name the address 127.0.0.1."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("facecycle")), "serve", "--weights", fc.about.source]
    with subprocess.Popen(
        [*command, "--device", "cpu", "--port", str(port)], env=QUIET, stderr=subprocess.PIPE
    ) as process:
        try:
            assert process.stderr is not None
            while b"running on" not in (line := process.stderr.readline()):
                assert line
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as web:
                for host in (f"127.0.0.1:{port}", "LocalHost", f"[::1]:{port}"):
                    assert web.get("/healthz", headers={"host": host}).status_code == 200
                for host in (
                    "evil.com",
                    f"evil.com:{port}",
                    "127.0.0.1.evil.com",
                    "localhost:1:evil.com",
                    "[::1].evil.com",
                    "",
                ):
                    answer = web.get("/healthz", headers={"host": host})
                    assert answer.status_code == 400
                    assert f"host {host!r}: not this machine; ask for localhost" in answer.json()["detail"]
        finally:
            process.terminate()


@pytest.mark.parametrize(
    ("host", "known"),
    [
        ("127.0.0.1", {*LOCAL}),
        ("localhost", {*LOCAL}),
        ("::1", {*LOCAL}),
        ("127.0.0.2", {*LOCAL, "127.0.0.2"}),
        ("0.0.0.0", None),
        ("::", None),
        ("192.0.2.1", None),
    ],
)
def test_who_listens_for_others_is_asked_by_any_name(host: str, known: set[str] | None) -> None:
    assert names(host) == known


def stalled_upload(web: httpx.Client) -> socket.socket:
    """A request whose body does not go on."""
    connection = socket.create_connection((web.base_url.host, web.base_url.port), 30)
    head = "POST /embed HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 9999"
    part = '--b\r\nContent-Disposition: form-data; name="picture"; filename="a.png"\r\n\r\nabc'
    connection.sendall(f"{head}\r\n\r\n{part}".encode())
    return connection


def test_uploads_that_stall_count_and_end(fc: FaceCycle) -> None:
    def embed() -> httpx.Response:
        return web.post("/embed?cropped=true", files={"picture": data(face_picture(0))})

    with running(build_app(fc, Limits(seconds=2, pending=2))) as server, client(server) as web:
        stalled = [stalled_upload(web) for _ in range(2)]
        wait_until(lambda: pending(web) == 2)
        refused = embed()
        assert refused.status_code == 503
        assert "come again" in refused.json()["detail"]
        for connection in stalled:
            with connection, connection.makefile("rb") as answer:
                said = answer.read()  # to the end: the connection is closed
            assert said.startswith(b"HTTP/1.1 408 ")
            assert b"\r\nconnection: close\r\n" in said  # else what is still sent is taken for the next request
            assert b"did not arrive within 2 s" in said
        wait_until(lambda: pending(web) == 0)
        assert embed().status_code == 200


def test_a_request_given_up_counts_until_its_thread_has_ended(fc: FaceCycle, monkeypatch: pytest.MonkeyPatch) -> None:
    app, go_on = build_app(fc, Limits(seconds=1)), threading.Event()

    def find(*_: object) -> None:
        go_on.wait(30)

    with running(app) as server, client(server) as web:
        service: Service = app.state.service
        room = service.room.free
        monkeypatch.setattr(service.finder, "find", find)
        answer = web.post("/embed", files={"picture": data(face_picture(0))})
        assert answer.status_code == 504
        assert "no answer within 1 s" in answer.json()["detail"]
        assert pending(web) == 1
        assert service.room.free == room - np.prod(face_picture(0).size)
        go_on.set()
        wait_until(lambda: pending(web) == 0)
        assert service.room.free == room


def test_pictures_wait_for_room_whatever_the_number_of_requests(fc: FaceCycle) -> None:
    async def most_at_a_time(side: int) -> int:
        service, now, most = Service(fc, Limits(pixels=10_000, large=2)), 0, 0

        async def work() -> None:
            nonlocal now, most
            now += 1
            most = max(most, now)
            await asyncio.sleep(0.05)
            now -= 1

        files = [upload(Image.new("RGB", (side, side))) for _ in range(12)]
        await asyncio.gather(*(service.answer(work, picture=file) for file in files))
        service.close()
        return most

    assert asyncio.run(most_at_a_time(100)) == 2
    assert asyncio.run(most_at_a_time(50)) == 8
    with pytest.raises(BadRequest, match=r"picture: 101x101 pixels, over the limit of 10,000"):
        asyncio.run(most_at_a_time(101))


def test_room_is_given_in_turn() -> None:
    async def order() -> list[int]:
        room, begun = Room(100), []

        async def hold(pixels: int) -> None:
            async with room.held(pixels):
                begun.append(pixels)
                await asyncio.sleep(0.01)

        held = [asyncio.create_task(hold(pixels)) for pixels in (60, 70, 100, 10, 20)]
        await asyncio.sleep(0)
        held[1].cancel()  # who leaves the queue holds nobody up
        await asyncio.gather(*held, return_exceptions=True)
        assert room.free == 100
        return begun

    assert asyncio.run(order()) == [60, 100, 10, 20]


def test_the_page_asks_for_nothing_from_elsewhere(web: httpx.Client) -> None:
    page = web.get("/docs").text
    assert "http://" not in page
    assert "https://" not in page


def test_a_failing_job_does_not_end_the_batcher() -> None:
    def fail(items):
        raise ValueError("broken")

    batcher = Batcher(wait=0)
    with pytest.raises(ValueError, match="broken"):
        batcher.submit("bad", fail, 1).result(10)
    assert batcher.submit("good", lambda items: [2 * item for item in items], 3).result(10) == 6
    batcher.close()


def test_a_batch_may_be_done_in_parts() -> None:
    batcher, parts = Batcher(wait=0.2), []

    def double(items: Sequence[int]) -> list[int]:
        parts.append(len(items))
        return [2 * item for item in items]

    jobs = [batcher.submit("double", double, item, most=2) for item in range(5)]
    assert [job.result(10) for job in jobs] == [0, 2, 4, 6, 8]
    assert max(parts) == 2
    assert len(parts) == 3
    batcher.close()


def test_fuzzed_requests_never_crash_the_service(web: httpx.Client, tmp_path: Path) -> None:
    """Everything that the published schema allows, and much that it does not: no 5xx, every answer as documented."""
    import schemathesis
    from hypothesis import HealthCheck, Phase, given, settings
    from schemathesis.specs.openapi.checks import positive_data_acceptance

    schema = schemathesis.openapi.from_dict(web.get("/openapi.json").json())
    schema.config.base_url = str(web.base_url)
    for operation in schema.get_all_operations():
        endpoint = operation.ok()

        @given(case=endpoint.as_strategy())
        @settings(max_examples=15, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
        def attack(case) -> None:
            answer = case.call()
            assert answer.status_code < 500
            case.validate_response(answer, excluded_checks=[positive_data_acceptance])  # most bytes are no picture

        attack()


def test_a_port_in_use_and_an_address_of_nobody_are_one_line(fc: FaceCycle) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(FaceCycleError, match=rf"127\.0\.0\.1:{port}: .*in use.*; name another"):
            serve(fc, "127.0.0.1", port)
    with pytest.raises(FaceCycleError, match=r"256\.0\.0\.1:8000: .*; name another --host"):
        serve(fc, "256.0.0.1")
