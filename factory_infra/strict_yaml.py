"""YAML as a person wrote it, read more strictly than the library does."""

import yaml


class _Loader(yaml.SafeLoader):
    """Refuses a key that is given twice: the second would silently replace what was read first."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[object, object]:
        """Build a mapping of different keys."""
        seen: set[str] = set()
        for key, _ in node.value:
            if str(key.value) in seen:
                raise yaml.constructor.ConstructorError(None, None, f"'{key.value}' is given twice", key.start_mark)
            seen.add(str(key.value))
        made: dict[object, object] = super().construct_mapping(node, deep)
        return made


def load_strict(text: str) -> object:
    """Return the plain values of one document; None for an empty one. Never builds an object.

    Raises yaml.YAMLError for what is no YAML, and the ConstructorError of that family, with the place, for a key that is given twice.
    """
    return yaml.load(text, Loader=_Loader)  # noqa: S506  (a SafeLoader that is stricter still)
