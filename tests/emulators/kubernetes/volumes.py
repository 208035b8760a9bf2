"""A pod's folders: its volumes as folders of a sandbox, and the words of its containers with mount paths turned into them."""

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.emulators.kubernetes.store import Obj, Store, quantity

TokenOf = Callable[[str, str, float], str]


class NotReady(Exception):
    """A container cannot be made yet: the reason that its status shows, and a message."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason, self.message = reason, message


@dataclass
class Folders:
    """Where one pod's volumes lie."""

    store: Store
    pod: Obj
    root: Path
    claims: Path
    token_of: TokenOf
    paths: dict[str, Path] = field(default_factory=dict)

    def mount(self) -> None:
        """Make every volume. Raises NotReady for one that is missing."""
        for volume in self.pod["spec"].get("volumes") or []:
            name = volume["name"]
            kind = next(key for key in volume if key != "name")
            if kind == "persistentVolumeClaim":
                self.paths[name] = self._claim(volume[kind]["claimName"])
                continue
            path = self.root / "volumes" / name
            path.mkdir(parents=True, exist_ok=True)
            self.paths[name] = path
            for file, data in self._files(kind, volume[kind]).items():
                target = path / file
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)

    def over_limit(self) -> str:
        """Why the pod uses more disk than it may; empty if it does not."""
        for volume in self.pod["spec"].get("volumes") or []:
            limit = (volume.get("emptyDir") or {}).get("sizeLimit")
            if limit and size(self.paths[volume["name"]]) > quantity(limit):
                return f'Usage of EmptyDir volume "{volume["name"]}" exceeds the limit "{limit}".'
        return ""

    def rewrite(self, container: Obj, text: str) -> str:
        """Turn mount paths in a word into folders of the sandbox, and names of the cluster's DNS into the loopback address."""
        for mount in sorted(container.get("volumeMounts") or [], key=lambda each: -len(each["mountPath"])):
            path = self.paths[mount["name"]] / mount.get("subPath", "")
            path.mkdir(parents=True, exist_ok=True)
            pattern = r"(?<![\w/.-])" + re.escape(mount["mountPath"].rstrip("/")) + r"(?=$|/|[^\w.-])"
            text = re.sub(pattern, lambda _, path=path: str(path), text)  # type: ignore[misc]
        subdomain = self.pod["spec"].get("subdomain")
        return re.sub(rf"\b[a-z0-9-]+\.{re.escape(subdomain)}(\.[a-z0-9.-]+)?(?![\w.-])", "127.0.0.1", text) if subdomain else text

    def environment(self, container: Obj) -> dict[str, str]:
        """The container's variables. Raises NotReady for a Secret or ConfigMap that is missing."""
        found: dict[str, str] = {}
        for source in container.get("envFrom") or []:
            kind = next(key for key in source if key != "prefix")
            found |= {name: value.decode() for name, value in self._data(kind.removesuffix("Ref") + "s", source[kind]["name"]).items()}
        for variable in container.get("env") or []:
            value = self._value(variable["valueFrom"]) if "valueFrom" in variable else expanded(variable.get("value", ""), found)
            found[variable["name"]] = value
        return {name: self.rewrite(container, value) for name, value in found.items()}

    def _value(self, source: Obj) -> str:
        if "fieldRef" in source:
            return field_of(self.pod, source["fieldRef"]["fieldPath"])
        kind = "secrets" if "secretKeyRef" in source else "configmaps"
        ref = source.get("secretKeyRef") or source["configMapKeyRef"]
        data = self._data(kind, ref["name"])
        if ref["key"] not in data:
            raise NotReady("CreateContainerConfigError", f"couldn't find key {ref['key']} in {kind[:-1]} {ref['name']}")
        return data[ref["key"]].decode()

    def _data(self, plural: str, name: str) -> dict[str, bytes]:
        plural = plural.lower()
        found = self.store.get(plural, self.pod["metadata"]["namespace"], name)
        if found is None:
            raise NotReady("CreateContainerConfigError", f'{plural[:-1]} "{name}" not found')
        return data_of(plural, found)

    def _files(self, kind: str, source: Obj) -> dict[str, bytes]:
        if kind in {"secret", "configMap"}:
            plural = "secrets" if kind == "secret" else "configmaps"
            data = self._data(plural, source.get("secretName") or source["name"])
            chosen = source.get("items")
            return {item["path"]: data[item["key"]] for item in chosen} if chosen else data
        if kind == "projected":
            files: dict[str, bytes] = {}
            for each in source["sources"]:
                part = next(iter(each))
                files |= self._files(part, each[part])
            return files
        if kind == "serviceAccountToken":
            account = self.pod["spec"].get("serviceAccountName") or "default"
            token = self.token_of(self.pod["metadata"]["namespace"], account, source.get("expirationSeconds", 3600))
            return {source["path"]: token.encode()}
        if kind == "downwardAPI":
            return {item["path"]: field_of(self.pod, item["fieldRef"]["fieldPath"]).encode() for item in source["items"]}
        return {}

    def _claim(self, name: str) -> Path:
        space = self.pod["metadata"]["namespace"]
        if self.store.get("persistentvolumeclaims", space, name) is None:
            raise NotReady("CreateContainerConfigError", f'persistentvolumeclaim "{name}" not found')
        path: Path = self.claims / space / name
        path.mkdir(parents=True, exist_ok=True)
        return path


def expanded(text: str, variables: dict[str, str]) -> str:
    """Put variables in the place of `$(NAME)`; `$$` is a plain `$`."""
    return re.sub(r"\$(?:(\$)|\((\w+)\))", lambda found: "$" if found[1] else variables.get(found[2], found[0]), text)


def data_of(plural: str, body: Obj) -> dict[str, bytes]:
    """The files of a Secret or ConfigMap."""
    if plural == "secrets":
        return {name: base64.b64decode(value) for name, value in (body.get("data") or {}).items()}
    data = {name: value.encode() for name, value in (body.get("data") or {}).items()}
    return data | {name: base64.b64decode(value) for name, value in (body.get("binaryData") or {}).items()}


def field_of(pod: Obj, path: str) -> str:
    """A field of the downward API."""
    match = re.fullmatch(r"metadata\.(labels|annotations)\['(.+)'\]", path)
    if match:
        return str((pod["metadata"].get(match.group(1)) or {}).get(match.group(2), ""))
    value: object = pod
    for part in path.split("."):
        value = value.get(part, "") if isinstance(value, dict) else ""
    return str(value)


def size(folder: Path) -> int:
    """Bytes under a folder."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.lstat().st_size if path.is_file() and not path.is_symlink() else 0
        except FileNotFoundError:
            continue
    return total
