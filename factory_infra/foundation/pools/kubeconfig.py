"""Where a Kubernetes cluster is and with what right it is asked: the kubeconfig of an account, or what a pod of the cluster has."""

import asyncio
import base64
import json
import ssl
import tempfile
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from factory_infra.errors import InvalidInput, Unauthenticated, Unavailable
from factory_infra.foundation.pools.spec import KubernetesPool

POD_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
POD_SERVER = "https://kubernetes.default.svc"
LOGIN_SECONDS = 60.0
EARLY = timedelta(seconds=60)
TOKEN_FILE_SECONDS = 60.0


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", populate_by_name=True)


class ClusterPart(_Part):
    """The `cluster` of a kubeconfig."""

    server: str
    ca_file: str = Field(default="", alias="certificate-authority")
    ca_data: str = Field(default="", alias="certificate-authority-data")
    insecure: bool = Field(default=False, alias="insecure-skip-tls-verify")
    server_name: str = Field(default="", alias="tls-server-name")


class Variable(_Part):
    """One variable of a login program."""

    name: str
    value: str


class ExecPart(_Part):
    """A program that prints a credential, such as `aws eks get-token`."""

    command: str
    args: list[str] | None = None
    env: list[Variable] | None = None
    version: str = Field(default="client.authentication.k8s.io/v1", alias="apiVersion")


class UserPart(_Part):
    """The `user` of a kubeconfig."""

    token: str = ""
    token_file: str = Field(default="", alias="tokenFile")
    certificate_file: str = Field(default="", alias="client-certificate")
    certificate_data: str = Field(default="", alias="client-certificate-data")
    key_file: str = Field(default="", alias="client-key")
    key_data: str = Field(default="", alias="client-key-data")
    login: ExecPart | None = Field(default=None, alias="exec")


class _Context(_Part):
    cluster: str
    user: str = ""


class _NamedContext(_Part):
    name: str
    context: _Context


class _NamedCluster(_Part):
    name: str
    cluster: ClusterPart


class _NamedUser(_Part):
    name: str
    user: UserPart = UserPart()


class KubeconfigFile(_Part):
    """The parts of a kubeconfig that are read."""

    current: str = Field(default="", alias="current-context")
    contexts: list[_NamedContext] = []
    clusters: list[_NamedCluster] = []
    users: list[_NamedUser] = []


class _Credential(_Part):
    token: str = ""
    expires: datetime | None = Field(default=None, alias="expirationTimestamp")


class _ExecAnswer(_Part):
    status: _Credential = _Credential()


@dataclass
class Access:
    """An address, how its certificate is checked, and a bearer token that is renewed before it ends."""

    server: str
    cluster: ClusterPart
    user: UserPart
    folder: Path
    _token: str = ""
    _expires: datetime | None = None
    _lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def token(self, *, fresh: bool = False) -> str:
        """Return the bearer token, or nothing for a client certificate. Runs the login program when there is none, or `fresh` is asked."""
        if self.user.token_file:
            return await asyncio.to_thread(self._file(self.user.token_file).read_text)
        if self.user.login is None:
            return self.user.token
        async with self._lock:
            due = self._expires is not None and datetime.now(UTC) >= self._expires - EARLY
            if fresh or due or not self._token:
                answer = await log_in(self.user.login)
                self._token, self._expires = answer.token, answer.expires
            return self._token

    @property
    def renewable(self) -> bool:
        """Whether asking again can bring another token."""
        return self.user.login is not None or bool(self.user.token_file)

    def verify(self) -> ssl.SSLContext | bool:
        """Return what checks the server's certificate and shows ours. Raises InvalidInput for files that cannot be read."""
        if not self.server.startswith("https:"):
            return True
        try:
            return self._context()
        except (OSError, ssl.SSLError, ValueError) as error:
            raise InvalidInput(f"The certificates for {self.server} cannot be used: {error}.", code="kubeconfig_invalid") from error

    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self._file(self.cluster.ca_file)) if self.cluster.ca_file else None)
        if self.cluster.ca_data:
            context.load_verify_locations(cadata=base64.b64decode(self.cluster.ca_data).decode())
        if self.cluster.insecure:
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if self.user.certificate_data:
            # ssl reads a key from a file only: one that nobody else can read, and that is gone at once.
            with tempfile.NamedTemporaryFile(suffix=".pem") as pem:
                pem.write(base64.b64decode(self.user.certificate_data) + b"\n" + base64.b64decode(self.user.key_data))
                pem.flush()
                context.load_cert_chain(pem.name)
        elif self.user.certificate_file:
            context.load_cert_chain(self._file(self.user.certificate_file), self._file(self.user.key_file))
        return context

    def _file(self, name: str) -> Path:
        return self.folder / name


async def log_in(login: ExecPart) -> _Credential:
    """Run a login program. Raises Unavailable when it is slow, Unauthenticated with its words when it fails."""
    said = {"apiVersion": login.version, "kind": "ExecCredential", "spec": {"interactive": False}}
    variables = [f"{each.name}={each.value}" for each in login.env or []] + [f"KUBERNETES_EXEC_INFO={json.dumps(said)}"]
    # `env` adds to what this process has, which the program needs for its own configuration.
    argv = ["env", *variables, login.command, *(login.args or [])]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*argv, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe)
    try:
        out, err = await asyncio.wait_for(process.communicate(), LOGIN_SECONDS)
    except TimeoutError as error:
        process.kill()
        await process.wait()
        raise Unavailable(f"The login program {login.command} did not answer in {LOGIN_SECONDS:.0f} s.", code="login_slow") from error
    if process.returncode:
        words = err.decode(errors="replace").strip()[-500:]
        raise Unauthenticated(
            f"The login program {login.command} failed: {words}",
            remedy="Sign in again, such as with `aws sso login`.",
            code="credentials_expired",
        )
    try:
        return _ExecAnswer.model_validate_json(out).status
    except ValidationError as error:
        raise Unauthenticated(f"The login program {login.command} printed no credential.", code="credentials_expired") from error


def access_for(pool: KubernetesPool) -> Access:
    """Find a pool's cluster: its kubeconfig, else what this pod has, else the account's own kubeconfig. Reads files; connects to nothing.

    Raises:
        InvalidInput: there is no such file or context, or it cannot be read.
    """
    if pool.kubeconfig is None and (POD_ACCOUNT / "token").is_file():
        return of_this_pod()
    return of_file(pool.kubeconfig or Path("~/.kube/config"), pool.context)


def of_this_pod() -> Access:
    """Return what a pod of the cluster is given."""
    cluster = ClusterPart(server=POD_SERVER, ca_file="ca.crt")
    return Access(cluster.server, cluster, UserPart(token_file="token"), POD_ACCOUNT)  # noqa: S106 (a file's name)


def of_file(path: Path, context: str) -> Access:
    """Return what one context of a kubeconfig says."""
    file = path.expanduser()
    try:
        read = KubeconfigFile.model_validate(yaml.safe_load(file.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError, ValidationError) as error:
        said = error.strerror if isinstance(error, OSError) else "it is not a kubeconfig"
        raise InvalidInput(
            f"The kubeconfig {path} cannot be read: {said}.",
            remedy="Name another with `kubeconfig:` in the pool's entry.",
            code="kubeconfig_invalid",
        ) from error
    wanted = context or read.current
    found = next((each.context for each in read.contexts if each.name == wanted), None)
    cluster = next((each.cluster for each in read.clusters if found and each.name == found.cluster), None)
    if found is None or cluster is None:
        known = ", ".join(each.name for each in read.contexts) or "none"
        raise InvalidInput(f"The kubeconfig {path} has no whole context {wanted!r}.", remedy=f"It has: {known}.", code="kubeconfig_invalid")
    user = next((each.user for each in read.users if each.name == found.user), UserPart())
    return Access(cluster.server.rstrip("/"), cluster, user, file.parent)
