"""What no target can do is refused by the name that the client knows."""

import pytest

from factory_infra.errors import InvalidInput
from factory_infra.saas.models.calls import Abilities
from factory_infra.saas.models.requests import SpeechRequest
from tests.factory_infra.saas.models.routing.virtual import live
from tests.factory_infra.saas.models.routing.world import Stub, asker, chat, world


@live
async def test_a_whole_kind_asks_for_another_model() -> None:
    each = world(Stub("a", able=Abilities(can=frozenset({"chat"}))))
    with pytest.raises(InvalidInput) as caught:
        await each.gateway.speak(asker(), SpeechRequest.parse({"model": "fast", "input": "Hello", "voice": "v"}))
    assert str(caught.value) == "The model 'fast' cannot do speech. Choose another model: GET /v1/models tells which can."
    assert caught.value.error_code == "ability_missing"


@live
async def test_a_field_may_be_left_out() -> None:
    each = world(Stub("a", able=Abilities(can=frozenset({"chat"}))))
    with pytest.raises(InvalidInput) as caught:
        await each.gateway.complete(asker(), chat(seed=1))
    assert caught.value.reason == "The model 'fast' cannot do what the request asks: seed."
    assert caught.value.remedy.startswith("Leave it out")
