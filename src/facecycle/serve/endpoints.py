"""The endpoints, one for each verb. Annotations are evaluated here, since FastAPI reads them."""

import io
from collections import Counter
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, File, Form, Query, Request, Response, UploadFile
from PIL import Image
from starlette.datastructures import FormData

from facecycle import __version__
from facecycle.apply.encoders import CODES
from facecycle.apply.faces import SIZE
from facecycle.draw import made
from facecycle.errors import FaceCycleError
from facecycle.serve.faces import BadRequest
from facecycle.serve.service import Service

ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"description": "a form that cannot be read, or asked by the name of another host"},
    408: {"description": "the pictures did not arrive in time"},
    413: {"description": "more bytes or pixels than are taken"},
    415: {"description": "no picture"},
    422: {"description": "no face in the picture, or a parameter out of range"},
    503: {"description": "too many requests at a time; come again"},
    504: {"description": "took too long"},
}
PNG: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/png": {}}, "description": "a PNG"},
    **ERRORS,
    501: {"description": "these weights make no pictures"},
}

QUICK = 2  # of 9: a third of the usual time for a tenth more bytes


async def known(request: Request) -> None:
    """Refuse options that there are not, rather than answer as if they had not been given.

    Raises:
        BadRequest: 422.
    """
    asks = request.scope["route"].dependant
    query, form = ({field.alias for field in fields} for fields in (asks.query_params, asks.body_params))
    for given, names, place in (
        (request.query_params, query, "the query"),
        (await request.form() if form else FormData(), form, "the form"),
    ):
        if strange := sorted(set(given) - names):
            name = strange[0]
            if len(name) > 40 or not name.isidentifier():  # a picture, sent as if it were a form
                name = repr(name[:40])
            raise BadRequest(422, f"{name}: not in {place}; there: {', '.join(sorted(names)) or 'nothing'}")
        times = Counter(name for name, _ in given.multi_items())
        if twice := sorted(name for name, count in times.items() if count > 1):
            raise BadRequest(422, f"{twice[0]}: {times[twice[0]]} times in {place}; give it once")


router = APIRouter(dependencies=[Depends(known)])


def service_of(request: Request) -> Service:
    """The application's service."""
    return request.app.state.service


async def pictures(request: Request) -> None:
    """Refuse to make a picture with weights that hold encoders only.

    Raises:
        BadRequest: 501.
    """
    try:
        service_of(request).fc.networks("a picture")
    except FaceCycleError as error:
        raise BadRequest(501, str(error)) from None


Asked = Annotated[Service, Depends(service_of)]
Picture = Annotated[UploadFile, File(description="JPEG, PNG, WebP, BMP, TIFF or GIF")]
Cropped = Annotated[bool, Query(description="the picture is a face crop already")]
Paste = Annotated[bool, Query(description="answer with the whole picture, the face pasted in")]
Size = Annotated[int, Query(ge=16, le=1024, description="pixels of a face that is not pasted")]
KeepPose = Annotated[bool, Form(description="take the expression alone; the source's pose and identity stay")]
Keep = Annotated[float, Query(ge=-1, le=2, description="how much of the expression stays")]
Strength = Annotated[float, Form(ge=0, le=1)]


@router.get("/healthz")
async def healthz(service: Asked) -> dict[str, Any]:
    """Is the service up, and with which weights?"""
    about = service.fc.about
    return {
        "status": "ok", "version": __version__, "crop": about.crop, "size": about.image_size,
        "dimensions": about.code_dim, "licence": about.licence, "pending": len(service.requests),
    }  # fmt: skip


@router.post("/embed", responses=ERRORS)
async def embed(service: Asked, picture: Picture, cropped: Cropped = False) -> dict[str, Any]:
    """Motion, identity and expression codes of the main face; its box in picture pixels (x, y, width, height)."""

    async def work() -> dict[str, Any]:
        codes = await service.codes(await service.face(picture, "picture", cropped))
        box = None if np.isnan(codes.boxes[0]).any() else codes.boxes[0].tolist()
        return {**{name: getattr(codes, name)[0].tolist() for name in CODES}, "box": box}

    return await service.answer(work, picture=picture)


@router.post("/frontalize", response_class=Response, responses=PNG, dependencies=[Depends(pictures)])
async def frontalize(
    service: Asked, picture: Picture, cropped: Cropped = False, paste: Paste = False, size: Size = SIZE
) -> Response:
    """The main face without expression and pose, as PNG."""

    async def work() -> Response:
        face = await service.fine_face(picture, "picture", cropped, size, paste)
        return await service.in_thread(png, await service.remade("frontalize", face))

    return await service.answer(work, picture=picture)


@router.post("/deexpress", response_class=Response, responses=PNG, dependencies=[Depends(pictures)])
async def deexpress(
    service: Asked,
    picture: Picture,
    keep: Keep = 0.0,
    cropped: Cropped = False,
    paste: Paste = False,
    size: Size = SIZE,
) -> Response:
    """The main face without its expression, or with a part of it, in the pose it has, as PNG."""

    async def work() -> Response:
        face = await service.fine_face(picture, "picture", cropped, size, paste)
        return await service.in_thread(png, await service.remade("deexpress", face, keep))

    return await service.answer(work, picture=picture)


@router.post("/translate", response_class=Response, responses=PNG, dependencies=[Depends(pictures)])
async def translate(
    service: Asked,
    source: Picture,
    driver: Picture,
    identity: Strength = 1.0,
    motion: Strength = 1.0,
    keep_pose: KeepPose = False,
    cropped: Cropped = False,
    paste: Paste = False,
    size: Size = SIZE,
) -> Response:
    """The source's face with the driver's expression and pose, as PNG."""

    async def work() -> Response:
        one = await service.fine_face(source, "source", cropped, size, paste)
        other = await service.face(driver, "driver", cropped)
        return await service.in_thread(png, await service.translated(one, other, identity, motion, keep_pose))

    return await service.answer(work, source=source, driver=driver)


@router.post("/compare", responses=ERRORS)
async def compare(service: Asked, a: Picture, b: Picture, cropped: Cropped = False) -> dict[str, Any]:
    """Cosine similarities of two faces' codes, and whether they are one person's."""

    async def work() -> dict[str, Any]:
        one, other = [await service.codes(await service.face(x, name, cropped)) for x, name in ((a, "a"), (b, "b"))]
        found = service.fc.compare_codes(one, other)
        return {
            "identity": found.identity, "motion": found.motion, "same_person": found.same_person,
            "threshold": found.threshold, "calibrated": found.calibrated, "of_drawn_people": found.of_drawn_people,
        }  # fmt: skip

    return await service.answer(work, a=a, b=b)


def png(picture: np.ndarray) -> Response:
    """A made picture as an answer; for a large one that takes seconds."""
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG", compress_level=QUICK, **made(".png"))
    return Response(stream.getvalue(), media_type="image/png")
