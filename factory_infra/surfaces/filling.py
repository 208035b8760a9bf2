"""From a schema to a request that names what is the victim's, with all that the schema asks for: only the wall can refuse it then."""

from collections.abc import Mapping

from pydantic import JsonValue

JsonObject = dict[str, JsonValue]
DEPTH_MAX = 6
PLAIN = "audit"


class Filler:
    """Fills schemas of one document.

    Args:
        definitions: the document's own schemas, by the last part of their reference.
        ids: what is the victim's, by the name of the field.
    """

    def __init__(self, definitions: Mapping[str, JsonValue], ids: Mapping[str, str]) -> None:
        self._definitions = definitions
        self._ids = dict(ids)

    def fill(self, schema: JsonValue, name: str = "", depth: int = 0) -> JsonValue:
        """Return a value that fits a schema; a field that is called as something of the victim's gets that."""
        found = self._resolved(schema)
        if name in self._ids and self._takes_text(found):
            return self._ids[name]
        if depth > DEPTH_MAX:
            return None
        if "const" in found:
            return found["const"]
        options = found.get("enum")
        if isinstance(options, list) and options:
            return options[0]
        return self._typed(found, depth)

    def names_victim(self, value: JsonValue) -> bool:
        """Whether anything in a value is the victim's."""
        if isinstance(value, dict):
            return any(self.names_victim(each) for each in value.values())
        if isinstance(value, list):
            return any(self.names_victim(each) for each in value)
        return isinstance(value, str) and value in self._ids.values()

    def _typed(self, found: JsonObject, depth: int) -> JsonValue:
        kind = found.get("type")
        if kind == "object" or "properties" in found:
            return self._object(found, depth)
        if kind == "array":
            least = found.get("minItems", 0)
            return [self.fill(found.get("items", {}), "", depth + 1)] * (least if isinstance(least, int) else 0)
        if kind in {"integer", "number"}:
            return number(found)
        if kind == "boolean":
            return True
        return PLAIN

    def _object(self, found: JsonObject, depth: int) -> JsonObject:
        properties, required = found.get("properties", {}), found.get("required", [])
        if not isinstance(properties, dict) or not isinstance(required, list):
            return {}
        wanted = [name for name in properties if name in required or name in self._ids]
        return {name: self.fill(properties[name], name, depth + 1) for name in wanted}

    def _resolved(self, schema: JsonValue) -> JsonObject:
        """Follow a reference, and of several choices take the first that is not null."""
        found: JsonObject = schema if isinstance(schema, dict) else {}
        for _ in range(DEPTH_MAX):
            reference, choices = found.get("$ref"), found.get("anyOf") or found.get("oneOf")
            if isinstance(reference, str):
                known = self._definitions.get(reference.rpartition("/")[2])
                found = known if isinstance(known, dict) else {}
            elif isinstance(choices, list):
                found = next((each for each in choices if isinstance(each, dict) and each.get("type") != "null"), {})
            else:
                break
        return found

    @staticmethod
    def _takes_text(found: JsonObject) -> bool:
        return found.get("type", "string") == "string"


def number(found: JsonObject) -> JsonValue:
    """The least number that a schema takes."""
    for name, more in (("minimum", 0), ("exclusiveMinimum", 1)):
        least = found.get(name)
        if isinstance(least, int | float):
            return least + more
    return 1
