"""The service as an ASGI application, with an OpenAPI page that needs no network."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi_offline import FastAPIOffline

from facecycle import __version__
from facecycle.api import FaceCycle
from facecycle.errors import FaceCycleError
from facecycle.serve.endpoints import router
from facecycle.serve.faces import BadRequest
from facecycle.serve.gate import Gate
from facecycle.serve.hosts import Hosts, names
from facecycle.serve.limits import Limits
from facecycle.serve.service import Service

DESCRIPTION = (
    "Motion and identity codes of faces, frontal faces, expression transfer. Nothing that is sent is kept. Not for "
    "identifying or tracking people without their consent, nor for judging anybody by their face."
)


def build_app(fc: FaceCycle, limits: Limits | None = None, hosts: frozenset[str] | None = None) -> FastAPI:
    """The application.

    Args:
        fc: trained weights.
        limits: what a request may cost.
        hosts: the names by which it may be asked; None takes any.
    """
    limits = limits or Limits()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.service = Service(fc, limits)
        yield
        app.state.service.close()

    app = FastAPIOffline(title="FaceCycle", version=__version__, description=DESCRIPTION, lifespan=lifespan)
    app.add_middleware(Gate, limits=limits)
    if hosts is not None:
        app.add_middleware(Hosts, names=hosts)
    app.add_exception_handler(BadRequest, refuse)  # type: ignore[arg-type]
    app.add_exception_handler(RequestValidationError, refuse_values)  # type: ignore[arg-type]
    app.add_exception_handler(400, refuse_form)  # type: ignore[arg-type]
    app.add_exception_handler(FaceCycleError, fail)  # type: ignore[arg-type]
    app.include_router(router)
    return app


async def refuse(request: Request, error: BadRequest) -> JSONResponse:
    """A bad request as JSON, in FastAPI's own form."""
    return JSONResponse({"detail": error.detail}, error.status)


async def refuse_values(request: Request, error: RequestValidationError) -> JSONResponse:
    """Options and files that are missing or out of range, as one line."""
    return JSONResponse({"detail": "; ".join(map(_in_words, error.errors()))}, 422)


async def refuse_form(request: Request, error: HTTPException) -> JSONResponse:
    """A form that cannot be read, with what to send."""
    why = str(error.detail).rstrip(".")
    mend = "send multipart/form-data with each picture as a file, as curl -F picture=@portrait.jpg does"
    return JSONResponse({"detail": f"{why[:1].lower()}{why[1:]}; {mend}"}, 400)


def _in_words(error: Any) -> str:
    name, given = error["loc"][-1], error.get("input")
    if error["type"] == "missing":
        return f"{name}: missing"
    if "UploadFile" in error["msg"]:
        return f"{name}: send a file"
    shown = f"{name}={given[:40]}" if isinstance(given, str) else name
    return f"{shown}: {error['msg'][:1].lower()}{error['msg'][1:]}"


async def fail(request: Request, error: FaceCycleError) -> JSONResponse:
    """What is wrong with this service rather than with a request, such as its detector."""
    return JSONResponse({"detail": str(error)}, 500)


def run(fc: FaceCycle, host: str, port: int, limits: Limits) -> None:
    """Serve until stopped."""
    import uvicorn

    uvicorn.run(build_app(fc, limits, names(host)), host=host, port=port, log_level="info")
