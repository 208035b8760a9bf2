"""Sees to it that the embedded model's weights are there before the stack starts."""

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from cli.context import out
from factory_infra.errors import LineshaftError
from factory_infra.saas.models.routing.embedded import embedded_model
from factory_infra.saas.models.weights import find, presence, pull
from factory_infra.settings import Settings


def ensure_weights(settings: Settings) -> Settings:
    """Pull the weights if the configured model, or a route of the gateway's file, needs them and they are not here.

    Where no source can be reached the stack runs without a model, and that is said: the same path answers without its calls.
    """
    name = embedded_model(settings)
    if name is None:
        return settings
    spec = find(name)
    if presence(spec, settings.weights_dir).present:
        return settings
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=out) as bar:
            task = bar.add_task(f"{spec.name}: looking for it", total=spec.size_bytes)
            pull(
                name,
                settings.weights_dir,
                lambda done, total, stage: bar.update(task, completed=done, total=total, description=f"{spec.name}: {stage}"),
            )
    except LineshaftError as error:
        out.print(f"[yellow]No model: {error.reason}[/yellow] {error.remedy} Going on without one.")
        return settings.model_copy(update={"model": "none"}) if settings.model.startswith("embedded:") else settings
    return settings
