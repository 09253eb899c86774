"""The service as an ASGI application, with an OpenAPI page that needs no network."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from fastapi_offline import FastAPIOffline

from facecycle import __version__
from facecycle.api import FaceCycle
from facecycle.serve.endpoints import router
from facecycle.serve.faces import BadRequest
from facecycle.serve.limits import LimitBody, Limits
from facecycle.serve.service import Service

DESCRIPTION = (
    "Motion and identity codes of faces, frontal faces, expression transfer. Nothing that is sent is kept. Not for "
    "identifying or tracking people without their consent, nor for judging anybody by their face."
)


def build_app(fc: FaceCycle, limits: Limits | None = None) -> FastAPI:
    """The application.

    Args:
        fc: trained weights.
        limits: what a request may cost.
    """
    limits = limits or Limits()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.service = Service(fc, limits)
        yield
        app.state.service.batcher.close()

    app = FastAPIOffline(title="FaceCycle", version=__version__, description=DESCRIPTION, lifespan=lifespan)
    app.add_middleware(LimitBody, most=limits.bytes)
    app.add_exception_handler(BadRequest, refuse)  # type: ignore[arg-type]
    app.include_router(router)
    return app


async def refuse(request: Request, error: BadRequest) -> JSONResponse:
    """A bad request as JSON, in FastAPI's own form."""
    return JSONResponse({"detail": error.detail}, error.status)


def run(fc: FaceCycle, host: str, port: int, limits: Limits) -> None:
    """Serve until stopped."""
    import uvicorn

    uvicorn.run(build_app(fc, limits), host=host, port=port, log_level="info")
