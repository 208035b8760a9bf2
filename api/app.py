"""The API: composition root of the HTTP face."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from fastapi.responses import RedirectResponse
from fastapi.routing import APIRoute
from fastapi.staticfiles import StaticFiles
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.routing import Route

from api import errors
from api.audited import Audited
from api.deps import House
from api.doors import SecondWall, SecurityHeaders, SizeLimit
from api.mcp.face import McpFace
from api.routers import (
    accelerators,
    access_requests,
    agui,
    audit,
    catalog,
    chat,
    clusters,
    datasets,
    drift,
    endpoints,
    factory,
    features,
    invoices,
    isolation,
    keys,
    kpis,
    lessons,
    limits,
    members,
    nodes,
    optimization,
    organisations,
    pipeline_runs,
    pipeline_triggers,
    pipelines,
    plans,
    policy,
    pools,
    prices,
    quotas,
    rollouts,
    runs,
    scheduling,
    sign_in,
    studies,
    system,
    tenants,
    tool_servers,
    tools,
    training,
    transcripts,
    twin,
    validation,
    vms,
)
from api.sessions import Sessions
from factory_infra.factory import connect
from factory_infra.logs import configure
from factory_infra.notices import Notices
from factory_infra.paas.tenants.bootstrap import session_secret
from factory_infra.settings import Settings
from workflows.temporal import connect_temporal

ROUTERS = (
    *(chat, plans, policy, runs, tenants, keys, limits, invoices, prices, transcripts),
    *(pools, factory, accelerators, endpoints, tools, tool_servers, system, lessons, agui),
    catalog,
    access_requests,
    isolation,
    scheduling,
    twin,
    validation,
    nodes,
    vms,
    clusters,
    rollouts,
    organisations,
    members,
    quotas,
    audit,
    sign_in,
    features,
    drift,
    *(datasets, pipelines, pipeline_runs, pipeline_triggers),
    kpis,
    optimization,
    *(studies, training),
)
CONSOLE = Path(__file__).parent.parent / "console"
LOOPBACK = ["127.0.0.1", "localhost", "[::1]"]


def build_app(settings: Settings) -> FastAPI:
    """Build the application; it connects when it starts, not before."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        built = connect(settings)
        temporal = await connect_temporal(settings)
        app.state.house = House(factory=built, temporal=temporal, sessions=Sessions(session_secret(settings)))
        notices = Notices(built.database.engine.url.render_as_string(hide_password=False))
        built.directory.remember(notices)
        await notices.start()
        async with app.state.mcp.manager.run():
            yield
        await notices.close()
        await built.close()

    app = FastAPI(title="Lineshaft", version="0.1.0", lifespan=lifespan, docs_url=None, redoc_url=None)
    errors.install(app)
    for each in ROUTERS:
        app.include_router(each.router)
    app.mount("/console", StaticFiles(directory=CONSOLE, html=True, check_dir=False), name="console")
    app.add_api_route("/", lambda: RedirectResponse("/console/"), include_in_schema=False)
    app.state.mcp = McpFace(app, settings)
    app.router.routes.append(Route("/mcp", endpoint=app.state.mcp, include_in_schema=False))
    app.add_middleware(Audited, routes=[route for each in ROUTERS for route in each.router.routes if isinstance(route, APIRoute)])
    app.add_middleware(SecondWall)
    app.add_middleware(SizeLimit, bytes_max=settings.api_body_bytes_max)
    app.add_middleware(SecurityHeaders)
    if settings.api_host in {"127.0.0.1", "::1"}:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=LOOPBACK)
    return app


def main() -> None:
    """Serve until a signal ends it; streams that are open are cut, and resume elsewhere."""
    configure()
    settings = Settings()
    uvicorn.run(
        build_app(settings),
        host=settings.api_host,
        port=settings.api_port,
        log_level="warning",
        timeout_graceful_shutdown=1,
        server_header=False,
    )


if __name__ == "__main__":
    main()
