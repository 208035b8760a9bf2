"""`lineshaft policy text | put | edit`: the policy as it is written, changed only from what was read."""

from pathlib import Path
from typing import Annotated

import click
import typer

from api.client import ApiClient
from cli.access import client_of
from cli.context import out
from cli.listing import show_one
from factory_infra.errors import InvalidInput, LineshaftError

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
KEPT = Path("policy.mine.yaml")
"""Where an edit is kept that was not taken: nobody types it twice."""


def text(
    context: typer.Context,
    file: Annotated[Path | None, typer.Option("--to", help="Write it into this file.", dir_okay=False)] = None,
    as_json: Json = False,
) -> None:
    """Print the policy file of the running installation, and its revision."""
    with client_of(context) as client:
        read = client.get_object("/v1/policy/text")
    if file is not None:
        file.write_bytes(str(read["text"]).encode())
    if as_json:
        show_one(read, as_json=True)
        return
    if file is None:
        typer.echo(read["text"], nl=False)
    out.print(f"revision {read['revision']} ({read['source']}); change it with: lineshaft policy put FILE --revision {read['revision']}")


def put(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="The whole policy.", exists=True, dir_okay=False)],
    revision: Annotated[str, typer.Option(help="Of the text that it was made from, as 'lineshaft policy text' told it.")],
    as_json: Json = False,
) -> None:
    """Put a whole policy in the place of the one that was read. Where somebody was faster, nothing is changed."""
    with client_of(context) as client:
        written = sent(client, read_text(file), revision)
    told(written, as_json=as_json)


def edit(context: typer.Context) -> None:
    """Open the policy in your editor and put it in place when you are done. What is not taken is kept in a file."""
    with client_of(context) as client:
        read = client.get_object("/v1/policy/text")
        changed = click.edit(str(read["text"]), extension=".yaml", require_save=True)
        if changed is None or changed == read["text"]:
            out.print("nothing was changed")
            return
        try:
            written = sent(client, changed, str(read["revision"]))
        except LineshaftError:
            KEPT.write_bytes(changed.encode())
            out.print(f"your edit was not taken; it is kept in {KEPT}")
            raise
    told(written, as_json=False)


def sent(client: ApiClient, words: str, revision: str) -> dict[str, object]:
    """Send a policy. Raises what the API refuses."""
    return {**client.put("/v1/policy", {"text": words, "revision": revision})}


def told(written: dict[str, object], *, as_json: bool) -> None:
    """Say that it counts."""
    if as_json:
        show_one({name: str(value) for name, value in written.items()}, as_json=True)
        return
    out.print(f"the policy counts from now on, as revision {written['revision']} ({written['source']})")


def read_text(file: Path) -> str:
    """A file's text, to the last byte. Raises InvalidInput."""
    try:
        return file.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{file} cannot be read as text.", remedy="Give a UTF-8 text file.") from error
