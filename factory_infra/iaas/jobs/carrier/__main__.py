"""Run as `python -m factory_infra.iaas.jobs.carrier` in the container of a job."""

import sys

from factory_infra.iaas.jobs.carrier.carrying import Carrier
from factory_infra.iaas.jobs.carrier.settings import CarrierSettings, place_of
from factory_infra.iaas.jobs.carrier.store import Store


def main() -> None:
    """Run, and end with what the engine should see."""
    settings = CarrierSettings()
    sys.exit(Carrier(settings, place_of(settings), Store(settings.bucket, settings.region)).run())


if __name__ == "__main__":
    main()
