"""What leaves a container, and when."""

import io
import json
from pathlib import Path
from typing import cast

import pytest

from factory_infra.iaas.jobs.carrier.files import Files
from factory_infra.iaas.jobs.carrier.keys import Folder, job_folder
from factory_infra.iaas.jobs.carrier.program import Log
from factory_infra.iaas.jobs.carrier.store import Store


class Memory:
    """A bucket in a dictionary."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.writes: list[str] = []

    def put(self, key: str, body: bytes) -> None:
        self.objects[key] = body
        self.writes.append(key)

    def upload(self, file: Path, key: str) -> None:
        self.put(key, file.read_bytes())

    def download(self, key: str, file: Path) -> None:
        file.write_bytes(self.objects[key])

    def remove(self, key: str) -> None:
        self.objects.pop(key, None)

    def keys(self, prefix: str) -> list[str]:
        return sorted(key for key in self.objects if key.startswith(prefix))


FOLDER = job_folder("vision", "job")


@pytest.fixture
def bucket() -> Memory:
    return Memory()


def files(bucket: Memory, home: Path) -> Files:
    for name in ("job", "kept"):
        (home / name).mkdir(exist_ok=True)
    return Files(cast("Store", bucket), FOLDER, home / "job", home / "kept", None)


class TestCheckpoint:
    def test_a_file_leaves_once_it_is_at_rest_and_again_only_when_it_changed(self, bucket: Memory, tmp_path: Path) -> None:
        out = files(bucket, tmp_path)
        (tmp_path / "kept/step").write_text("1")
        out.sync()
        assert bucket.writes == []
        out.sync()
        out.sync()
        assert bucket.writes == [FOLDER.checkpoint + "step"]
        (tmp_path / "kept/step").write_text("22")
        out.sync()
        out.sync()
        assert bucket.objects[FOLDER.checkpoint + "step"] == b"22" and len(bucket.writes) == 2

    def test_what_is_being_written_stays_until_everything_must_go(self, bucket: Memory, tmp_path: Path) -> None:
        out = files(bucket, tmp_path)
        (tmp_path / "kept/step.tmp").write_text("half")
        for _ in range(3):
            out.sync()
        assert bucket.writes == []
        out.sync(everything=True)
        assert bucket.writes == [FOLDER.checkpoint + "step.tmp"]

    def test_it_comes_back_with_its_folders_and_is_not_sent_again(self, bucket: Memory, tmp_path: Path) -> None:
        bucket.objects = {FOLDER.checkpoint + "a/b/shard": b"x", FOLDER.inputs + "in.txt": b"given"}
        out = files(bucket, tmp_path)
        out.bring(FOLDER.inputs)
        assert (tmp_path / "kept/a/b/shard").read_bytes() == b"x" and (tmp_path / "job/in.txt").read_bytes() == b"given"
        out.sync(everything=True)
        out.results()
        assert bucket.writes == []

    def test_what_the_program_removed_goes_after_what_is_newer_is_out(self, bucket: Memory, tmp_path: Path) -> None:
        out = files(bucket, tmp_path)
        (tmp_path / "kept/step-1").write_text("1")
        out.sync(everything=True)
        (tmp_path / "kept/step-1").unlink()
        (tmp_path / "kept/step-2").write_text("2")
        out.sync()
        assert sorted(bucket.objects) == [FOLDER.checkpoint + "step-1"]
        out.sync()
        assert sorted(bucket.objects) == [FOLDER.checkpoint + "step-2"]


class TestResults:
    def test_plain_files_at_the_top_leave_and_nothing_else(self, bucket: Memory, tmp_path: Path) -> None:
        out = files(bucket, tmp_path)
        job = tmp_path / "job"
        (job / "result.json").write_text("{}")
        (job / ".hidden").write_text("")
        (job / "progress.jsonl").write_text("{}\n")
        (job / "link").symlink_to("/etc/hostname")
        (job / "folder").mkdir()
        out.results()
        assert bucket.writes == [FOLDER.results + "result.json"]

    def test_of_progress_only_the_end_leaves(self, bucket: Memory, tmp_path: Path) -> None:
        files(bucket, tmp_path)
        out = Files(cast("Store", bucket), FOLDER, tmp_path / "job", tmp_path / "kept", {"attempt": 2})
        (tmp_path / "job/progress.jsonl").write_text("".join(f'{{"percent": {number}}}\n' for number in range(1000)))
        out.sync()
        told = json.loads(bucket.objects[FOLDER.status])
        assert told["attempt"] == 2 and len(told["progress"]) == 4096 and told["progress"].endswith('{"percent": 999}\n')


class TestLog:
    def log(self, said: bytes, limit: int = 10**6) -> tuple[Log, bytes]:
        out = io.BytesIO()
        log = Log(out, limit)
        log.copy(io.BytesIO(said))
        return log, out.getvalue()

    def test_it_counts_what_a_reader_of_events_will_count(self) -> None:
        log, out = self.log("é\r\n\nlast".encode())
        assert out == "é\n \nlast\n".encode() and log.bytes == len(out)

    def test_long_lines_are_cut_where_we_say(self) -> None:
        log, out = self.log(b"x" * 40_000 + b"\n")
        assert out.count(b"\n") == 3 and log.bytes == len(out)

    def test_over_its_limit_it_says_so_once_and_drops_the_rest(self) -> None:
        log, out = self.log(b"0123456789\n" * 100, limit=100)
        assert out.count(b"limit") == 1 and out.endswith(b"--\n") and log.bytes == len(out)


def test_keys_of_parts_lie_below_their_job() -> None:
    assert FOLDER.task(3).run(2) == "lineshaft/vision/job/tasks/3/runs/0002.json"
    assert FOLDER.node(0) is FOLDER and FOLDER.node(2) == Folder("lineshaft/vision/job/nodes/2/")
