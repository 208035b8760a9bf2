"""The client of a cluster: where it is, as whom, its pages, and its refusals in our words."""

import base64
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
import yaml

from factory_infra.errors import Conflict, Forbidden, InvalidInput, NotFound, Unauthenticated, Unavailable
from factory_infra.foundation.pools.kubeconfig import ExecPart, access_for, log_in
from factory_infra.foundation.pools.kubernetes import Kubernetes
from factory_infra.foundation.pools.quantity import quantity
from factory_infra.foundation.pools.spec import KubernetesPool
from factory_infra.iaas.kubernetes.models import Named
from tests.emulators.kubernetes.cluster import Emulator
from tests.emulators.kubernetes.store import Refusal

SPACES = "/api/v1/namespaces"
SCRIPT = "import json,os; print(json.dumps({'status': {'token': os.environ['WHO']}}))"


def kubeconfig(folder: Path, **user: object) -> Path:
    """A kubeconfig with two contexts."""
    body = {
        "current-context": "here",
        "contexts": [{"name": name, "context": {"cluster": name, "user": "me"}} for name in ("here", "there")],
        "clusters": [{"name": name, "cluster": {"server": f"https://{name}.example:6443/"}} for name in ("here", "there")],
        "users": [{"name": "me", "user": user}],
    }
    path = folder / "config"
    path.write_text(yaml.safe_dump(body))
    return path


class TestKubeconfig:
    async def test_a_context_is_found_by_name_or_is_the_current_one(self, tmp_path: Path) -> None:
        path = kubeconfig(tmp_path, token="t")
        assert access_for(KubernetesPool(name="p", kubeconfig=path)).server == "https://here.example:6443"
        access = access_for(KubernetesPool(name="p", kubeconfig=path, context="there"))
        assert (access.server, await access.token(), access.renewable) == ("https://there.example:6443", "t", False)

    def test_an_unknown_context_names_those_that_are_there(self, tmp_path: Path) -> None:
        pool = KubernetesPool(name="p", kubeconfig=kubeconfig(tmp_path), context="elsewhere")
        with pytest.raises(InvalidInput, match="elsewhere") as refused:
            access_for(pool)
        assert "here, there" in refused.value.remedy

    @pytest.mark.parametrize("text", ["", "[]", "{contexts: 1}", ": : :"])
    def test_a_file_that_is_none_is_refused(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "config").write_text(text)
        with pytest.raises(InvalidInput) as refused:
            access_for(KubernetesPool(name="p", kubeconfig=tmp_path / "config"))
        assert refused.value.error_code == "kubeconfig_invalid" and refused.value.remedy

    def test_no_file_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidInput, match="No such file"):
            access_for(KubernetesPool(name="p", kubeconfig=tmp_path / "absent"))

    async def test_a_token_file_is_read_each_time(self, tmp_path: Path) -> None:
        (tmp_path / "token").write_text("one")
        access = access_for(KubernetesPool(name="p", kubeconfig=kubeconfig(tmp_path, tokenFile="token")))
        assert await access.token() == "one"
        (tmp_path / "token").write_text("two")
        assert (await access.token(), access.renewable) == ("two", True)

    async def test_a_login_program_gives_the_token(self, tmp_path: Path) -> None:
        login = {"apiVersion": "client.authentication.k8s.io/v1", "command": sys.executable, "args": ["-c", SCRIPT]}
        user = {"exec": login | {"env": [{"name": "WHO", "value": "me"}]}}
        assert await access_for(KubernetesPool(name="p", kubeconfig=kubeconfig(tmp_path, **user))).token() == "me"

    @pytest.mark.parametrize("script", ["import sys; sys.exit('session expired')", "print('no json')"])
    async def test_a_login_program_that_fails_says_so(self, script: str) -> None:
        with pytest.raises(Unauthenticated) as refused:
            await log_in(ExecPart(command=sys.executable, args=["-c", script]))
        assert refused.value.error_code == "credentials_expired"

    def test_certificates_that_are_none_are_refused(self, tmp_path: Path) -> None:
        junk = base64.b64encode(b"junk").decode()
        access = access_for(
            KubernetesPool(name="p", kubeconfig=kubeconfig(tmp_path, **{"client-certificate-data": junk, "client-key-data": junk}))
        )
        with pytest.raises(InvalidInput, match="certificates"):
            access.verify()


@pytest.mark.parametrize(
    ("text", "value"), [("500m", 0.5), ("4Gi", 4 * 2**30), ("2k", 2000), ("2", 2), ("1e3", 1000), ("1.5", 1.5), ("x", None), ("", None)]
)
def test_quantities(text: str, value: float | None) -> None:
    found = quantity(text)
    assert (None if found is None else float(found)) == value


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def emulator() -> AsyncIterator[Emulator]:
    async with Emulator() as opened:
        yield opened


@pytest_asyncio.fixture
async def api(emulator: Emulator) -> AsyncIterator[Kubernetes]:
    async with Kubernetes(KubernetesPool(name="p", kubeconfig=emulator.kubeconfig())) as opened:
        yield opened


@pytest.mark.stack
class TestRequests:
    async def test_a_list_is_read_page_by_page(self, api: Kubernetes, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("factory_infra.foundation.pools.kubernetes.PAGE", 2)
        for number in range(5):
            body = {"metadata": {"name": f"c{number}", "labels": {"many": "yes"}}, "data": {}}
            await api.create(f"{SPACES}/default/configmaps", body)
        found = await api.items(f"{SPACES}/default/configmaps", Named, {"labelSelector": "many=yes"})
        assert [each.metadata.name for each in found] == [f"c{number}" for number in range(5)]

    async def test_a_change_of_what_somebody_else_changed_is_refused(self, api: Kubernetes) -> None:
        path = f"{SPACES}/default/configmaps"
        await api.ensure(path, {"metadata": {"name": "shared"}, "data": {}})
        old = await api.get(f"{path}/shared", Named)
        await api.patch(f"{path}/shared", {"data": {"a": "1"}})
        with pytest.raises(Conflict):
            await api.patch(f"{path}/shared", {"metadata": {"resourceVersion": old.metadata.resource_version}, "data": {"a": "2"}})
        assert not await api.ensure(path, {"metadata": {"name": "shared"}})

    async def test_what_is_not_there(self, api: Kubernetes) -> None:
        assert await api.find(f"{SPACES}/nowhere", Named) is None
        with pytest.raises(NotFound):
            await api.get(f"{SPACES}/nowhere", Named)
        assert not await api.delete(f"{SPACES}/default/configmaps/nothing")

    @pytest.mark.parametrize(
        ("status", "message", "error", "code"),
        [
            (403, "no", Forbidden, "permission_missing"),
            (410, "gone", Conflict, "list_expired"),
            (429, "slower", Unavailable, "pool_unreachable"),
            (503, "away", Unavailable, "pool_unreachable"),
            (422, "wrong", InvalidInput, "cluster_invalid"),
        ],
    )
    async def test_refusals_have_codes(
        self, api: Kubernetes, emulator: Emulator, status: int, message: str, error: type[Exception], code: str
    ) -> None:
        emulator.fail("GET", "/namespaces/default", Refusal(status, "x", message))
        with pytest.raises(error) as refused:
            await api.get(f"{SPACES}/default", Named)
        assert getattr(refused.value, "error_code", "") == code and message in str(refused.value)

    async def test_a_watch_from_too_long_ago_is_gone(self, api: Kubernetes, emulator: Emulator) -> None:
        emulator.store.oldest = 50
        with pytest.raises(Conflict):
            await api.get(f"{SPACES}", Named, {"watch": "true", "resourceVersion": 10})

    async def test_the_emulator_says_what_it_is(self, api: Kubernetes) -> None:
        class Version(Named):
            git_version: str

        assert "emulator" in (await api.get("/version", Version)).git_version

    async def test_a_token_that_ends_is_renewed_once(self, emulator: Emulator, tmp_path: Path) -> None:
        old, new = emulator.doorman.issue_account("default", "default"), emulator.admin_token
        emulator.expire(old)
        store = tmp_path / "tokens"
        store.write_text(f"{old}\n{new}")
        script = (
            "import json,pathlib,sys\n"
            "path = pathlib.Path(sys.argv[1]); first, *rest = path.read_text().split()\n"
            "path.write_text('\\n'.join(rest or [first])); print(json.dumps({'status': {'token': first}}))"
        )
        path = emulator.kubeconfig()
        body = yaml.safe_load(path.read_text())
        body["users"][0]["user"] = {"exec": {"command": sys.executable, "args": ["-c", script, str(store)]}}
        path.write_text(yaml.safe_dump(body))
        async with Kubernetes(KubernetesPool(name="p", kubeconfig=path)) as renewed:
            assert (await renewed.get(f"{SPACES}/default", Named)).metadata.name == "default"
