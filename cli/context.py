"""What every command needs: the settings of the chosen home, and a console to write on."""

from pathlib import Path

import typer
from rich.console import Console

from factory_infra.settings import Settings

_WIDTH_PIPED = 160

out = Console(highlight=False, soft_wrap=True, emoji=False)  # ":key:" is part of a name here
if not out.is_terminal:  # A pipe has no width to fit into: never cut a table for it.
    out.width = _WIDTH_PIPED


def settings_of(context: typer.Context) -> Settings:
    """Return the settings; `--home` wins over the environment. The folder is made absolute."""
    home = context.find_root().obj
    settings = Settings(home=home) if isinstance(home, Path) else Settings()
    settings.home = settings.home.expanduser().absolute()
    return settings
