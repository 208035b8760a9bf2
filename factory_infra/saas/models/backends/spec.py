"""What the gateway's file says about one backend: a model a kind, with nothing in it that a request could set."""

from typing import Annotated, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from factory_infra.saas.models.calls import Abilities, Ability

NAME_PATTERN = r"^[a-z0-9][a-z0-9._-]{0,62}$"
EVERY_MODEL = "*"

FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,100}$")]
"""A file in the installation's secrets folder: a name, never a path."""
Region = Annotated[str, StringConstraints(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class AbilityOverrides(_Strict):
    """Where one model differs from what its kind of backend can do in general."""

    add: list[Ability] = []
    remove: list[Ability] = []
    context_tokens: int | None = Field(default=None, ge=1)
    tokens_out_max: int | None = Field(default=None, ge=1)
    image_hosts: bool | None = None
    fields: list[str] | None = Field(default=None, description="The optional request fields that it honours.")

    def over(self, abilities: Abilities) -> Abilities:
        """The abilities with these differences."""
        return Abilities(
            can=(abilities.can | set(self.add)) - set(self.remove),
            context_tokens=self.context_tokens or abilities.context_tokens,
            tokens_out_max=self.tokens_out_max or abilities.tokens_out_max,
            image_hosts=abilities.image_hosts if self.image_hosts is None else self.image_hosts,
            fields=abilities.fields if self.fields is None else frozenset(self.fields),
        )


class _Spec(_Strict):
    """What every kind has."""

    name: str = Field(default="", pattern=rf"{NAME_PATTERN}|^$", description="The key in the gateway's file, set when the file is read.")
    deadline_seconds: float = Field(default=120.0, gt=0, le=3600, description="The longest that one call may take.")
    on_disconnect: Literal["cancel", "drain"] = Field(
        default="cancel", description="When the client goes away: stop the upstream, or read its answer to the end for its exact usage."
    )
    connections_max: int = Field(default=256, ge=1, le=4096)
    abilities: dict[str, AbilityOverrides] = Field(default={}, description="By the upstream's name of the model; `*` is for all others.")

    def overridden(self, model: str, abilities: Abilities) -> Abilities:
        """What a model can do: the kind's abilities with this file's differences, those of the model before those of `*`."""
        overrides = self.abilities.get(model) or self.abilities.get(EVERY_MODEL)
        return abilities if overrides is None else overrides.over(abilities)

    @property
    def title(self) -> str:
        """The backend's name, or its kind where the file gave none."""
        return self.name or str(getattr(self, "kind", ""))


class OpenAISpec(_Spec):
    """Any server that speaks the OpenAI shapes: vLLM, TGI, llama.cpp, a provider."""

    kind: Literal["openai"]
    url: str = Field(description="Up to and including `/v1`.")
    key_file: FileName | None = Field(default=None, description="The file in the secrets folder that holds the key.")
    usage_in_stream: bool = Field(default=False, description="It tells the usage in every chunk (continuous_usage_stats).")
    usage_recall: bool = Field(default=False, description="The server tells what a call used afterwards: GET {url}/usage/{id}.")

    @field_validator("url")
    @classmethod
    def _plain_address(cls, value: str) -> str:
        return plain_address(value)


class EmbeddedSpec(_Spec):
    """Our own model server on this machine; its address and key come from the settings."""

    kind: Literal["embedded"]


class DeploymentSpec(_Spec):
    """A language model that is deployed here: an endpoint of a team. Its address and key come from the deployments' own records."""

    kind: Literal["deployment"]
    team: str = Field(pattern=NAME_PATTERN, description="Whose endpoint it is.")
    endpoint: str = Field(pattern=NAME_PATTERN, description="Its name; what is live under it may change at any time.")


class ScriptedSpec(_Spec):
    """A model that says what a script says, in this process."""

    kind: Literal["scripted"]
    script: str | None = Field(default=None, description="A behaviour or script=PATH; without it the model's name is one.")
    word_seconds: float = Field(default=0.0, ge=0, le=60, description="How long each word of a stream takes.")


class _AwsSpec(_Spec):
    region: Region | None = Field(default=None, description="Without it, what the AWS configuration of this process says.")
    endpoint_url: str | None = Field(default=None, description="A private endpoint, or an emulator.")
    profile: str | None = Field(default=None, description="A profile of the AWS configuration; without it the usual chain of credentials.")
    connections_max: int = Field(default=64, ge=1, le=512, description="Each open call also holds a thread.")

    @field_validator("endpoint_url")
    @classmethod
    def _plain_address(cls, value: str | None) -> str | None:
        return None if value is None else plain_address(value)


class Guardrail(_Strict):
    """A guardrail that Bedrock applies to every call."""

    id: str = Field(min_length=1, max_length=2048)
    version: str = Field(pattern=r"^(\d{1,8}|DRAFT)$")


class BedrockSpec(_AwsSpec):
    """Amazon Bedrock by Converse, and InvokeModel for embeddings."""

    kind: Literal["bedrock"]
    guardrail: Guardrail | None = None


class SageMakerSpec(_AwsSpec):
    """SageMaker endpoints whose container speaks OpenAI's chat shape (TGI, DJL); the model's name is the endpoint's."""

    kind: Literal["sagemaker"]


class AwsSpeechSpec(_AwsSpec):
    """Amazon Polly speaks, Amazon Transcribe writes down; the latter only through a bucket."""

    kind: Literal["aws_speech"]
    bucket: str | None = Field(default=None, pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", description="Where audio lies meanwhile.")
    prefix: str = Field(default="lineshaft/", max_length=200)
    language: str = Field(default="en-US", pattern=r"^[a-z]{2,3}-[A-Z]{2}$", description="Where the request names none.")
    voices: dict[str, str] = Field(default={}, description="Names in requests to Polly's names; others go as they are.")


BackendSpec = Annotated[
    OpenAISpec | EmbeddedSpec | DeploymentSpec | ScriptedSpec | BedrockSpec | SageMakerSpec | AwsSpeechSpec,
    Field(discriminator="kind"),
]

AnySpec = TypeVar("AnySpec", bound=_Spec)


def named(spec: AnySpec, name: str) -> AnySpec:
    """The spec under its key in the gateway's file."""
    return spec.model_copy(update={"name": name})


def plain_address(value: str) -> str:
    """An http(s) address without credentials, query and fragment, and without a slash at its end. Raises ValueError for another."""
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("an address is http(s)://HOST[:PORT][/PATH], without credentials, query and fragment")
    return value.rstrip("/")
