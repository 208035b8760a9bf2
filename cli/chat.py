"""`lineshaft chat`: say what you want, read the plan, approve it."""

from typing import Annotated

import typer

from api.conversation import Conversation, Turn
from cli.access import client_of
from cli.cards import print_event
from cli.context import out

app = typer.Typer(help="Talk to the factory.", invoke_without_command=True)


def settle(conversation: Conversation, turn: Turn, *, yes: bool) -> bool:
    """Have a turn's plan decided and watch it to its end; return whether nothing failed."""
    if turn.plan is None:
        return not turn.payloads("refusal")
    if not (yes or typer.confirm("Approve exactly this plan?")):
        conversation.refuse(turn, "Refused at the terminal.")
    else:
        conversation.approve(turn)
    return conversation.until_ended(turn.plan.id)["state"] in {"done", "gated", "refused"}


@app.callback()
def chat(  # noqa: PLR0913  (options of a command)
    context: typer.Context,
    message: Annotated[list[str] | None, typer.Argument(help="One message; without it, a conversation until the end of input.")] = None,
    tenant: Annotated[str | None, typer.Option("--team", "--tenant", help="The team to ask for.")] = None,
    project: Annotated[str, typer.Option(help="The team's project that it is charged to.")] = "",
    thread: Annotated[str | None, typer.Option(help="Go on in this thread.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Approve the plan that is proposed.")] = False,
) -> None:
    """Say what you want. A plan with an effect is shown and done only when you approve it."""
    with client_of(context) as client:
        conversation = Conversation(client, tenant, watch=lambda event: print_event(out, event), thread_id=thread, project=project)
        if message:
            try:
                settled = settle(conversation, conversation.say(" ".join(message)), yes=yes)
            finally:
                out.print(f"thread {conversation.thread_id}; go on with --thread {conversation.thread_id}")
            if not settled:
                raise typer.Exit(1)
            return
        out.print(f"thread {conversation.thread_id}; end with Ctrl-D")
        while True:
            try:
                text = typer.prompt("you", prompt_suffix="> ")
            except typer.Abort:
                return
            settle(conversation, conversation.say(text), yes=yes)
