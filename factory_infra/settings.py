"""Every setting of an installation: the environment (prefix LINESHAFT_) is read here and nowhere else."""

from pathlib import Path
from typing import Literal

from platformdirs import user_data_path
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """One installation's settings; units are in the names, addresses are URLs.

    The stack hands the addresses that it chose to its parts through the same variables, so a part never guesses one.
    """

    model_config = SettingsConfigDict(env_prefix="LINESHAFT_", extra="ignore")

    home: Path = Field(default_factory=lambda: user_data_path("lineshaft"), description="All data lie under this folder.")

    database_url: SecretStr | None = Field(default=None, description="postgresql://…: a server instead of the embedded one.")
    temporal_address: str | None = Field(default=None, description="host:port: a cluster instead of the development server.")
    temporal_namespace: str = "default"
    temporal_ui_url: str | None = None
    chroma_url: str | None = Field(default=None, description="http://…: a Chroma server instead of the local one.")
    mlflow_url: str | None = Field(default=None, description="http://…: an MLflow server instead of the local one.")
    model_server_url: str | None = Field(default=None, description="http://…: set by the stack for its own parts.")
    model_server_key: SecretStr | None = None

    api_host: str = "127.0.0.1"
    api_port: int = 8400
    api_url: str | None = Field(default=None, description="Where clients find the API; set by the stack.")
    api_key: SecretStr | None = Field(default=None, description="The key that the command line uses instead of the admin key's file.")
    transcript_key: SecretStr | None = Field(
        default=None, description="What kept prompts and answers are sealed with, in place of secrets/transcripts.key; shared by all hosts."
    )
    key_pepper: SecretStr | None = Field(default=None, description="In place of secrets/keys.pepper: the same on every host of a database.")
    api_body_bytes_max: int = 1_000_000
    message_characters_max: int = 8_000

    oidc_issuer: str | None = Field(default=None, description="https://…: the provider of identities that people sign in at.")
    oidc_client_id: str = "lineshaft"
    oidc_client_secret: SecretStr | None = Field(default=None, description="None for a public client, which PKCE protects alone.")
    oidc_scopes: str = "openid profile email"
    oidc_groups_claim: str = Field(default="groups", description="The claim of the ID token that names a person's groups.")
    oidc_name_claim: str = "name"
    oidc_groups: Path | None = Field(default=None, description="A file of groups and roles in place of groups.yaml in the home.")

    gateway_host: str = "127.0.0.1"
    gateway_port: int = 8405
    gateway_url: str | None = Field(default=None, description="Where the gateway is found; set by the stack.")
    gateway_workers: int = Field(default=1, ge=1, le=64, description="Processes that answer calls of models.")
    gateway_body_bytes_max: int = 10_000_000

    model: str = Field(
        default="embedded:qwen2.5-coder-0.5b",
        description="PROVIDER:NAME that agents think with: embedded:…, openai:…, bedrock:…, gateway:…, scripted:… or none.",
    )
    model_base_url: str | None = Field(default=None, description="Address of an OpenAI-compatible server for openai:….")
    model_key: SecretStr | None = None
    model_planner: str = Field(default="auto", description="auto, playbook (small models) or free (large models).")
    model_timeout_seconds: float = 120.0
    model_threads: int = 2

    slots_max: int | None = Field(default=None, description="At most this many slots of this host are handed out.")
    job_memory_gib_max: float = 4.0
    job_file_gib_max: float = 2.0
    job_seconds_max: float = 3600.0
    approval_seconds_max: float = 24 * 3600.0
    isolation_audit_seconds: float = Field(
        default=24 * 3600.0, ge=0, description="How often the walls between teams are attacked; 0: never."
    )
    lessons_promotion: Literal["auto", "ask"] = Field(default="auto", description="ask: a person confirms what an evaluation promotes.")
    idle_rule: Literal["platform", "use", "quota"] = Field(
        default="platform",
        description="Who is shown what idle slots cost: nobody but the platform, teams by their use, or by their quotas.",
    )
    price_book: Path | None = Field(default=None, description="A price book in place of the one that ships.")
    policy: Path | None = Field(default=None, description="A policy in place of policy.yaml in the home, or of the one that ships.")
    pools: Path | None = Field(default=None, description="A file of pools in place of pools.yaml in the home.")
    quotas: Path | None = Field(default=None, description="A file of quotas in place of quotas.yaml in the home.")
    gateway: Path | None = Field(default=None, description="A gateway file in place of gateway.yaml in the home.")
    features: str = Field(default="feast_local", description="Where new feature views are kept: feast_local, or sagemaker:POOL.")
    features_url: str | None = Field(default=None, description="A folder or s3://BUCKET/PREFIX for features' history in place of the home.")

    worker_max_cached_workflows: int = 500
    idempotency_keys: bool = Field(
        default=True,
        description="Off only in the control tests that prove what the keys protect: then effects are doubled by a crash.",
    )

    @property
    def own_url(self) -> str:
        """Where the API answers: the address that the stack told, else its host and port."""
        return self.api_url or f"http://{self.api_host}:{self.api_port}"

    @property
    def secrets_dir(self) -> Path:
        """Folder of 0600 files: the admin key, the database's password, the session secret."""
        return self.home / "secrets"

    @property
    def pools_file(self) -> Path:
        """The file that names the pools; it need not exist."""
        return self.pools or self.home / "pools.yaml"

    @property
    def quotas_file(self) -> Path:
        """The file of the tree of quotas; it need not exist."""
        return self.quotas or self.home / "quotas.yaml"

    @property
    def run_dir(self) -> Path:
        """Folder of what is true only while the stack runs: the lock, `stack.json`, and the parts' logs."""
        return self.home / "run"

    @property
    def journals_dir(self) -> Path:
        """What processes that meter calls have promised and not yet posted: one file a process, on the host's own disk."""
        return self.home / "journals"

    @property
    def jobs_dir(self) -> Path:
        """One folder a job: its specification, log, progress and exit record."""
        return self.home / "jobs"

    @property
    def weights_dir(self) -> Path:
        """Verified model weights."""
        return self.home / "weights"
