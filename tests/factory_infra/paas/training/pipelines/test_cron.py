"""Schedules are checked before the clock is asked."""

import pytest

from factory_infra.errors import InvalidInput
from factory_infra.paas.training.pipelines.cron import check_schedule
from factory_infra.paas.training.pipelines.models import ScheduleSpec


@pytest.mark.parametrize("cron", ["* * * * *", "30 6 * * 1-5", "*/15 0-6/2 1,15 jan-jun sun", "0 0 31 12 6"])
def test_these_are_moments(cron: str) -> None:
    check_schedule(ScheduleSpec(cron=cron, time_zone="Europe/Berlin"))


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"cron": "* * * *"},
        {"cron": "60 * * * *"},
        {"cron": "* 24 * * *"},
        {"cron": "* * 0 * *"},
        {"cron": "* * * 13 *"},
        {"cron": "* * * * 7"},
        {"cron": "5-1 * * * *"},
        {"cron": "*/0 * * * *"},
        {"cron": "@reboot"},
        {"cron": "* * * * *; x"},
        {"cron": "* * * * *", "every_seconds": 60},
        {"every_seconds": 9},
        {"cron": "* * * * *", "time_zone": "Mars/Olympus"},
        {"cron": "* * * * *", "time_zone": "../../etc/passwd"},
    ],
)
def test_these_are_none(fields: dict[str, str | int]) -> None:
    with pytest.raises(InvalidInput) as raised:
        check_schedule(ScheduleSpec.model_validate(fields))
    assert raised.value.error_code == "schedule_invalid"
