"""`lineshaft run first-job`: bring the stack up, play the first job through a user's doors, check what came of it."""

import asyncio
import time
from typing import Annotated

import typer

from cli.access import api_client
from cli.checks import Check, print_checks
from cli.context import out, settings_of
from cli.first_job import FirstJob
from cli.stack.local import local_stack
from cli.stack.printer import StackPrinter
from cli.stack.supervisor import Stack
from cli.weights import ensure_weights
from factory_infra.errors import LineshaftError, NotFound
from factory_infra.settings import Settings

app = typer.Typer(add_completion=False, rich_markup_mode=None)
JOBS = ("first-job",)


@app.command()
def run(
    context: typer.Context,
    job: Annotated[str, typer.Argument(help="Which job to play: first-job.")] = "first-job",
    pool: Annotated[str, typer.Option(help="Train in this pool; in the first one if left out.")] = "",
    leave: Annotated[bool, typer.Option("--exit", help="Stop everything afterwards; exit code 0 only if every check held.")] = False,
) -> None:
    """Start everything on this machine, play a job, and stay up."""
    if job not in JOBS:
        raise NotFound(f"There is no job '{job}' to play.", remedy=f"Choose one of: {', '.join(JOBS)}.")
    settings = ensure_weights(settings_of(context))
    raise typer.Exit(asyncio.run(play(settings, pool, leave=leave)))


async def play(settings: Settings, pool: str = "", *, leave: bool) -> int:
    """Run the stack in this process and the job in a thread beside it; return the exit code."""
    with StackPrinter(out, settings) as printer:
        stack = local_stack(settings, on_event=printer.show)
        stack.handle_signals()
        try:
            started = time.monotonic()
            await stack.start()
            printer.show_ready(stack.state)
            out.print(f"  stack ready in {time.monotonic() - started:.1f} s\n")
            held = await played(stack, settings, pool)
            if not leave and held is not None:
                out.print(f"\nThe console: [bold]{stack.state.console_url}[/bold]   (Ctrl-C stops everything)")
                await stack.wait()
            return 0 if held else 1
        except LineshaftError as error:
            if error.error_code == "stack_stopped":
                return 130
            raise
        finally:
            if stack.running:
                await stack.stop()
                printer.show_stopped()


async def played(stack: Stack, settings: Settings, pool: str) -> bool | None:
    """Play the job and print its checks; None when the stack was asked to stop meanwhile."""
    job = asyncio.create_task(asyncio.to_thread(first_job, settings, pool))
    stopped = asyncio.create_task(stack.wait())
    done, _ = await asyncio.wait({job, stopped}, return_when=asyncio.FIRST_COMPLETED)
    if job not in done:
        return None
    stopped.cancel()
    checks = job.result()
    print_checks(out, checks)
    return all(check.held for check in checks)


def first_job(settings: Settings, pool: str = "") -> list[Check]:
    """Play the first job; an error of the product ends it and is one more check that fell short."""
    with api_client(settings) as client:
        job = FirstJob(client, out, pool)
        try:
            job.play()
        except LineshaftError as error:
            job.checks.append(Check("no error on the way", str(error), "none", held=False))
    return job.checks
