"""SageMaker endpoints, whole and streamed, and the faults of their containers."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from factory_infra.errors import EffectFailed, InvalidInput, LineshaftError, Unavailable
from factory_infra.saas.metering.models import Usage
from factory_infra.saas.models.backends.sagemaker import SageMakerBackend
from factory_infra.saas.models.backends.spec import SageMakerSpec
from factory_infra.settings import Settings
from tests.emulators.sagemaker import SageMaker
from tests.emulators.serving import serving
from tests.factory_infra.saas.models.backends.calls import call, finishes, message, read, said, words

pytestmark = [pytest.mark.stack, pytest.mark.usefixtures("credentials")]


@pytest_asyncio.fixture(scope="module")
async def opened(credentials: None) -> AsyncIterator[tuple[SageMaker, SageMakerBackend]]:
    state = SageMaker()
    with serving(state.app) as url:
        backend = SageMakerBackend(SageMakerSpec(kind="sagemaker", name="sm", endpoint_url=url), Settings(), None)
        yield state, backend
        await backend.close()


@pytest.fixture
def runtime(opened: tuple[SageMaker, SageMakerBackend]) -> SageMaker:
    vars(opened[0]).update(vars(SageMaker()))
    return opened[0]


@pytest.fixture
def backend(opened: tuple[SageMaker, SageMakerBackend], runtime: SageMaker) -> SageMakerBackend:
    return opened[1]


async def test_whole_and_streamed_say_the_same_and_cost_the_same(backend: SageMakerBackend, runtime: SageMaker) -> None:
    answer = await backend.complete(call("qwen"))
    text, pieces = await said(backend, call("qwen"))
    assert message(answer.body)["content"] == text == "The sky is blue."
    assert answer.usage == pieces[-1].usage == Usage(tokens_in=9, tokens_out=5)
    assert finishes(pieces) == ["stop"]
    assert [name for name, _ in runtime.asked] == ["qwen", "qwen"]
    assert runtime.asked[1][1]["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize(
    ("told", "error", "code"),
    [
        ((400, "ValidationError", {"Message": "Endpoint qwen not found."}), InvalidInput, "model_call_refused"),
        ((424, "ModelError", {"OriginalStatusCode": 422, "OriginalMessage": '{"error": "too long"}'}), InvalidInput, "model_call_refused"),
        ((424, "ModelError", {"OriginalStatusCode": 429, "OriginalMessage": "busy"}), Unavailable, "model_unavailable"),
        ((503, "ServiceUnavailable", {"Message": "no"}), Unavailable, "model_unavailable"),
        ((403, "AccessDeniedException", {"Message": "no"}), EffectFailed, "model_key_refused"),
    ],
)
async def test_each_fault_has_its_error(
    backend: SageMakerBackend, runtime: SageMaker, told: tuple[int, str, dict[str, object]], error: type[LineshaftError], code: str
) -> None:
    runtime.error = told
    with pytest.raises(error) as caught:
        await backend.complete(call("qwen"))
    assert caught.value.error_code == code
    assert len(runtime.asked) == 1


async def test_a_container_that_dies_in_mid_stream(backend: SageMakerBackend, runtime: SageMaker) -> None:
    runtime.part_bytes, runtime.breaks_after = 1000, 0
    pieces, error = await read(backend.stream(call("qwen")))
    assert (pieces, error and error.error_code) == ([], "model_unavailable")
    runtime.part_bytes, runtime.breaks_after = 300, 1
    pieces, error = await read(backend.stream(call("qwen")))
    assert words(pieces) == "The"
    assert error is not None
    assert error.error_code == "model_stream_broken"
