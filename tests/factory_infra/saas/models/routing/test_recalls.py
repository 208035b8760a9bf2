"""An upstream that can be asked afterwards is asked wherever its own word is missing, not only where a client left."""

from factory_infra.errors import Unavailable
from tests.factory_infra.saas.models.routing.virtual import run
from tests.factory_infra.saas.models.routing.world import PROMPT_TOKENS, Recalling, asker, chat, world


def silent() -> Recalling:
    """An upstream that ends its stream without a word of usage."""
    return Recalling("a", tells=False)


def broken() -> Recalling:
    """An upstream that breaks before it says anything, and has worked all the same."""
    return Recalling("a", breaks=Unavailable("broken", code="model_stream_broken"), breaks_after=0)


class TestAsked:
    def test_where_a_stream_did_not_tell_its_usage(self) -> None:
        async def test() -> None:
            each = world(silent())
            async for _ in each.gateway.stream(asker(), chat(stream=True)):
                pass
            await each.quiet()
            assert [end[1:] for end in each.meter.ends()] == [("done", PROMPT_TOKENS, 5, False)]

        run(test())

    def test_where_it_broke_before_anything_came(self) -> None:
        async def test() -> None:
            each = world(broken())
            try:
                async for _ in each.gateway.stream(asker(), chat(stream=True)):
                    pass
            except Unavailable:
                pass
            await each.quiet()
            assert {end[1:] for end in each.meter.ends()} == {("failed", PROMPT_TOKENS, 0, False)}

        run(test())
