"""Ports of the local stack, and what its parts inherit of the environment: read here and nowhere else in this package."""

import os

from pydantic_settings import BaseSettings, SettingsConfigDict

_HARMLESS = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR")


class StackSettings(BaseSettings):
    """Where each local part listens on 127.0.0.1; a free port is taken where one of these is busy."""

    model_config = SettingsConfigDict(env_prefix="LINESHAFT_", extra="ignore")

    temporal_port: int = 7233
    temporal_ui_port: int = 8233
    chroma_port: int = 8401
    mlflow_port: int = 8402
    model_server_port: int = 8403
    postgres_port: int = 8404


def environment_full() -> dict[str, str]:
    """All of the environment: for our own parts, which need the user's settings and cloud credentials."""
    return dict(os.environ)


def environment_plain() -> dict[str, str]:
    """The harmless part of the environment: for servers of others, which need no credential of the user."""
    return {name: os.environ[name] for name in _HARMLESS if name in os.environ}
