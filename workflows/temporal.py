"""The one way to connect to Temporal: every door and the worker share the converter."""

from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter

from factory_infra.factory import address
from factory_infra.settings import Settings


async def connect_temporal(settings: Settings) -> Client:
    """Connect. Raises Unavailable where no address is known."""
    target = address(settings.temporal_address, "Temporal (LINESHAFT_TEMPORAL_ADDRESS)")
    return await Client.connect(target, namespace=settings.temporal_namespace, data_converter=pydantic_data_converter)
