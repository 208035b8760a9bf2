"""The lock of a home."""

from pathlib import Path

from cli.stack.lock import StackLock
from factory_infra.file_locks import is_held


class TestStackLock:
    def test_only_one_holds_it(self, tmp_path: Path) -> None:
        path = tmp_path / "stack.lock"
        first, second = StackLock(path), StackLock(path)
        assert first.take() and first.held and is_held(path)
        assert not second.take() and not second.held
        first.release()
        assert not is_held(path) and not path.exists()
        assert second.take()
        second.release()

    def test_a_file_left_behind_holds_nothing(self, tmp_path: Path) -> None:
        path = tmp_path / "stack.lock"
        path.write_text("")
        assert not is_held(path)
        lock = StackLock(path)
        assert lock.take()
        lock.release()
        lock.release()

    def test_looking_does_not_make_it(self, tmp_path: Path) -> None:
        assert not is_held(tmp_path / "stack.lock")
        assert not (tmp_path / "stack.lock").exists()
