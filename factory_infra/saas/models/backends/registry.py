"""Which class stands behind a kind of backend in the gateway's file."""

from importlib import import_module
from typing import Protocol, cast

from pydantic import SecretStr

from factory_infra.errors import InvalidInput
from factory_infra.saas.models.backend import Backend
from factory_infra.saas.models.backends.spec import BackendSpec, OpenAISpec
from factory_infra.settings import Settings

BACKENDS: dict[str, str] = {
    "openai": "factory_infra.saas.models.backends.openai:OpenAIBackend",
    "embedded": "factory_infra.saas.models.backends.embedded:EmbeddedBackend",
    "deployment": "factory_infra.saas.models.backends.deployment:DeploymentBackend",
    "scripted": "factory_infra.saas.models.backends.scripted:ScriptedBackend",
    "bedrock": "factory_infra.saas.models.backends.bedrock:BedrockBackend",
    "sagemaker": "factory_infra.saas.models.backends.sagemaker:SageMakerBackend",
    "aws_speech": "factory_infra.saas.models.backends.aws_speech:AwsSpeechBackend",
}
"""A new kind is one module, one model in spec.py and one line here."""


class BackendClass(Protocol):
    """How every backend is built: nothing connects at construction."""

    def __call__(self, spec: BackendSpec, settings: Settings, secret: SecretStr | None) -> Backend:
        """Build the backend; `secret` is its key, where it has one."""
        ...


def build(spec: BackendSpec, settings: Settings, secret: SecretStr | None) -> Backend:
    """Build the backend that a spec describes, under the name that `spec.named` gave it. Connects nowhere."""
    module_name, _, class_name = BACKENDS[spec.kind].partition(":")
    made = cast(BackendClass, getattr(import_module(module_name), class_name))
    return made(spec, settings, secret)


def secret_of(spec: BackendSpec, settings: Settings) -> SecretStr | None:
    """The key in a spec's `key_file`, from the secrets folder; None where it names none. Raises InvalidInput `key_missing`."""
    if not isinstance(spec, OpenAISpec) or spec.key_file is None:
        return None
    path = settings.secrets_dir / spec.key_file
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(
            f"The key file '{spec.key_file}' of backend {spec.title} cannot be read.",
            remedy="Put it into the folder `secrets` of the home, for its owner alone.",
            code="key_missing",
        ) from error
    if not text or not text.isprintable():
        reason = f"The key file '{spec.key_file}' of backend {spec.title} holds no key."
        raise InvalidInput(reason, remedy="Write the key into it.", code="key_missing")
    return SecretStr(text)
