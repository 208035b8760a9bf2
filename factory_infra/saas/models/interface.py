"""The one seam to chat models."""

from typing import Literal, Protocol, runtime_checkable

from factory_infra.saas.metering.models import Attribution
from factory_infra.saas.models.models import ChatAnswer, ChatCall


class ChatModel(Protocol):
    """A chat model behind whatever provider. `size` decides which planner may use it."""

    @property
    def name(self) -> str:
        """PROVIDER:NAME, as in the settings."""
        ...

    @property
    def size(self) -> Literal["small", "large"]:
        """`small`: constrained questions only; `large`: may plan freely over tools."""
        ...

    async def answer(self, call: ChatCall) -> ChatAnswer:
        """Answer one call. Not retried here: the caller's policy decides.

        An answer to `choices` is exactly one of them, an answer to `schema` is JSON that satisfies it.
        Raises Unavailable (retryable: no connection, overload, timeout), InvalidInput (the upstream refuses the call as such),
        EffectFailed (the upstream refuses the key, or `model_nonsense`: the answer breaks its constraint).
        """
        ...


@runtime_checkable
class AccountedModel(ChatModel, Protocol):
    """A chat model whose calls are reserved and settled where they are answered: who asks it must not do that a second time."""

    async def answer_for(self, call: ChatCall, whose: Attribution) -> ChatAnswer:
        """Answer one call as `answer` does, charged as `whose` says. Also raises BudgetExceeded."""
        ...
