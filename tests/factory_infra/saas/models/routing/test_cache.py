"""Kept answers: exact, bounded, each team's own."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from factory_infra.saas.metering.models import Usage
from factory_infra.saas.models.calls import JsonObject
from factory_infra.saas.models.routing.cache import ENTRY_OVERHEAD_BYTES, Cache, Kept, key_of
from factory_infra.saas.models.routing.config import CacheBounds, Target

TARGET = Target(backend="a", model="m")
BODY: JsonObject = {"model": "fast", "messages": [{"role": "user", "content": "x"}], "seed": 1}


def kept(size: int = 100) -> Kept:
    return Kept((b"x" * size,), Usage(1, 1), TARGET)


def cache(bytes_max: int = 10_000, share: float = 0.5) -> Cache:
    return Cache(CacheBounds(bytes_max=bytes_max, tenant_share=share), lambda: 0.0)


class TestKey:
    def test_the_order_of_fields_is_no_difference(self) -> None:
        assert key_of("t", "m", "v", BODY) == key_of("t", "m", "v", dict(reversed(BODY.items())))

    @pytest.mark.parametrize(
        "other",
        [
            ("u", "m", "v", BODY),
            ("t", "n", "v", BODY),
            ("t", "m", "w", BODY),
            ("t", "m", "v", BODY | {"seed": 2}),
            ("t", "m", "v", BODY | {"seed": 1.0}),
            ("t", "m", "v", BODY | {"seed": "1"}),
            ("t", "m", "v", BODY | {"stream": False}),
            ("tm", "", "v", BODY),
        ],
    )
    def test_everything_else_is(self, other: tuple[str, str, str, JsonObject]) -> None:
        assert key_of(*other) != key_of("t", "m", "v", BODY)

    def test_the_end_of_a_long_prompt_counts(self) -> None:
        """A key that is made of a beginning serves one user's answer to another."""
        assert key_of("t", "m", "v", {"prompt": "x" * 1_000_000 + "a"}) != key_of("t", "m", "v", {"prompt": "x" * 1_000_000 + "b"})


class TestBounds:
    def test_the_one_that_was_not_asked_for_the_longest_goes_first(self) -> None:
        each = cache(3 * (100 + ENTRY_OVERHEAD_BYTES), 1.0)
        for name in (b"1", b"2", b"3"):
            each.put(name, "t", kept(), 1)
        assert each.get(b"1")
        each.put(b"4", "t", kept(), 1)
        assert [each.get(name) is not None for name in (b"1", b"2", b"3", b"4")] == [True, False, True, True]

    def test_a_team_cannot_push_out_another(self) -> None:
        each = cache()
        each.put(b"theirs", "other", kept(), 1)
        for number in range(100):
            each.put(b"%d" % number, "greedy", kept(1000), 1)
        assert each.get(b"theirs")
        assert each.bytes <= 10_000

    def test_what_is_too_large_is_not_kept(self) -> None:
        each = cache()
        each.put(b"1", "t", kept(6000), 1)
        assert (len(each), each.bytes) == (0, 0)

    @given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from("ab"), st.integers(0, 4000)), max_size=80))
    def test_the_sum_is_right_whatever_is_put(self, puts: list[tuple[int, str, int]]) -> None:
        each = cache()
        for number, tenant, size in puts:
            each.put(b"%s%d" % (tenant.encode(), number), tenant, kept(size), 1)
            assert each.bytes <= 10_000
        found = [each.get(b"%s%d" % (tenant.encode(), number)) for tenant in "ab" for number in range(10)]
        assert each.bytes == sum(entry.size for entry in found if entry)
        assert len(each) == sum(entry is not None for entry in found)
