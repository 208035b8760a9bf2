"""Prints provisioning by stage: python -m benchmarks.provision."""

from rich.console import Console

from benchmarks.provision.stages import everywhere, table_of

if __name__ == "__main__":
    Console(width=170).print(table_of(everywhere()))
