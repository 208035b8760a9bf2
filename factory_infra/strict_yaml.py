"""YAML as a person wrote it, read more strictly than the library does."""

from collections.abc import Sequence

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


def composed(text: str) -> yaml.Node | None:
    """The text with its places; None for an empty one, and for no YAML."""
    try:
        node: yaml.Node | None = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError):
        return None
    return node


def line_in(node: yaml.Node | None, place: Sequence[int | str]) -> int:
    """The line, from 1, of the deepest part of a place (keys and positions, as pydantic names them) that a text has."""
    line = node.start_mark.line if node is not None else 0
    for part in place:
        if isinstance(node, yaml.MappingNode):
            pair = next(((key, value) for key, value in node.value if key.value == part), None)
            if pair is None:
                break
            line, node = pair[0].start_mark.line, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line
        else:
            break
    return int(line) + 1
