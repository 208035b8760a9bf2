"""The rights that an installation needs in a cluster, as a file that can be applied."""

from pathlib import Path

FILE = Path(__file__).with_name("role.yaml")
