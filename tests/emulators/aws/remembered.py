"""What boto's and moto's code reads anew for every client and every call, though it never changes: here it is read once a process."""

import functools

from botocore import loaders
from moto import backends
from moto.core import responses, utils
from pydantic import JsonValue


def remember() -> None:
    """Let services' descriptions, the names of moto's services and the methods of its classes be looked up once. Twice is no error."""
    if loaders.JSONFileLoader.load_file is _load_file:
        return
    # A description is read only, and what botocore merges into one is the same each time.
    loaders.JSONFileLoader.load_file = _load_file
    vars(responses)["method_names_from_class"] = functools.cache(utils.method_names_from_class)
    names = frozenset(backends.list_of_moto_modules())
    vars(backends)["list_of_moto_modules"] = lambda: names


_read = loaders.JSONFileLoader.load_file


@functools.cache
def _description(path: str) -> JsonValue:
    found: JsonValue = _read(loaders.JSONFileLoader(), path)
    return found


def _load_file(self: loaders.JSONFileLoader, file_path: str) -> JsonValue:
    return _description(file_path)
