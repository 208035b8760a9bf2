"""Secrets of the local stack."""

from pathlib import Path

from cli.stack.secrets import own_secret


def test_a_secret_is_made_once_and_closed_to_others(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    secret = own_secret(folder, "one")
    assert len(secret) >= 32
    assert own_secret(folder, "one") == secret and own_secret(folder, "two") != secret
    assert (folder / "one").stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
