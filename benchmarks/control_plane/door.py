"""The API over tiny models, and what turns its roll-outs: each a process to be started, asked and killed by the load test."""

import argparse
import asyncio
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path

import structlog
import uvicorn
from pydantic import SecretStr
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from api.app import build_app
from api.deps import House
from api.sessions import Sessions
from factory_infra.factory import Factory, connect
from factory_infra.iaas.jobs.providers.local import LocalJobs
from factory_infra.paas.deployments.providers.local import LocalDeployments
from factory_infra.paas.deployments.rollouts import Rollouts
from factory_infra.paas.deployments.scaling import Scaler
from factory_infra.settings import Settings
from tests.tiny_onnx import TinyRegistry
from workflows.rollouts import watch

NOWHERE = "http://127.0.0.1:9"


def settings_of(home: Path, database_url: str) -> Settings:
    """Settings of an installation without the parts that are not measured."""
    away = {"mlflow_url": NOWHERE, "chroma_url": NOWHERE, "model_server_url": NOWHERE, "model_server_key": SecretStr("k")}
    return Settings.model_validate({"home": home, "model": "none", "database_url": SecretStr(database_url), **away})


def built(settings: Settings) -> Factory:
    """The factory, with a registry of tiny models in place of MLflow's: all else is as it is."""
    factory = connect(settings)
    deployments = LocalDeployments(factory.database, TinyRegistry(), LocalJobs(settings.jobs_dir), settings.home / "endpoints", "")
    rollouts, scaler = Rollouts(factory.database, deployments), Scaler(factory.database, deployments)
    return dataclasses.replace(factory, deployments=deployments, rollouts=rollouts, scaler=scaler)


async def serve(settings: Settings, port: int) -> None:
    """Serve the API until SIGTERM."""
    factory = built(settings)
    app = build_app(settings)
    temporal = await Client.connect("127.0.0.1:9", lazy=True, data_converter=pydantic_data_converter)
    app.state.house = House(factory=factory, temporal=temporal, sessions=Sessions("s" * 64))
    await uvicorn.Server(
        uvicorn.Config(app, port=port, log_level="warning", access_log=False, lifespan="off", timeout_keep_alive=60)
    ).serve()
    await factory.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve, or turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["serve", "turn"])
    parser.add_argument("home", type=Path)
    parser.add_argument("database_url")
    parser.add_argument("--port", type=int, default=0)
    given = parser.parse_args(arguments)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    settings = settings_of(given.home, given.database_url)
    asyncio.run(serve(settings, given.port) if given.what == "serve" else watch(built(settings)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
