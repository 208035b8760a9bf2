"""Whether the gateway would start with its file: asked before anything starts, so that a slip is told at once and by its field."""

import time

from factory_infra.errors import InvalidInput
from factory_infra.saas.metering.prices import PriceBook
from factory_infra.saas.models.backends.registry import secret_of
from factory_infra.saas.models.routing.config import Setup, path_of
from factory_infra.saas.models.routing.targets import Targets
from factory_infra.settings import Settings


def source_of(settings: Settings) -> str:
    """Where the gateway's models come from: the file that counts, or the settings."""
    return str(path_of(settings) or "the settings")


def check_gateway(settings: Settings) -> Targets:
    """Read the file that counts, with the keys that it names, and build what it says. Connects nowhere.

    Raises InvalidInput `gateway_invalid` that names the file and the field, and what the settings and the price book raise.
    """
    setup = Setup.load(settings)
    for name, spec in setup.backends.items():
        try:
            secret_of(spec, settings)
        except InvalidInput as error:
            remedy = f"Write the key into a file of that name in {settings.secrets_dir}, for its owner alone."
            raise _invalid(settings, f"backends.{name}.key_file", error, remedy) from error
    book = PriceBook.load(settings.price_book)
    try:
        return Targets.build(setup, settings, book, time.monotonic)
    except InvalidInput as error:
        raise _invalid(settings, "backends", error, error.remedy) from error


def _invalid(settings: Settings, place: str, error: InvalidInput, remedy: str) -> InvalidInput:
    reason = f"The gateway's file {source_of(settings)}, at {place}: {error.reason}"
    return InvalidInput(reason, remedy=remedy, code="gateway_invalid")
