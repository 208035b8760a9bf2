"""The file of pools: read when it changes, written whole, refused by name where it cannot be."""

from pathlib import Path

import pytest

from factory_infra.errors import Conflict, InvalidInput, NotFound
from factory_infra.foundation.pools.book import PoolBook
from factory_infra.foundation.pools.spec import POOL_SPEC, LocalPool, PoolSpec, SlurmPool


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "pools.yaml"


def slurm(name: str = "slurm-a") -> PoolSpec:
    return SlurmPool(name=name, partition="gpu", work_dir=Path("/shared"))


class TestReading:
    def test_without_a_file_there_is_this_host(self, path: Path) -> None:
        assert PoolBook(path).all() == (LocalPool(name="local"),)

    def test_the_first_is_the_default(self, path: Path) -> None:
        book = PoolBook(path)
        book.add(slurm())
        assert [pool.name for pool in book.all()] == ["local", "slurm-a"]
        assert book.named().name == "local"
        assert book.named("slurm-a") == slurm()

    def test_another_process_sees_what_was_added(self, path: Path) -> None:
        reader, writer = PoolBook(path), PoolBook(path)
        assert len(reader.all()) == 1
        writer.add(slurm())
        assert len(reader.all()) == 2
        writer.remove("slurm-a")
        assert len(reader.all()) == 1

    def test_one_that_is_not_there_is_told_with_those_that_are(self, path: Path) -> None:
        with pytest.raises(NotFound) as raised:
            PoolBook(path).named("mars")
        assert raised.value.error_code == "pool_unknown"
        assert "local" in raised.value.remedy

    @pytest.mark.parametrize(
        "text",
        [
            "pools: []",
            "pools: [{name: a, provider: local}, {name: a, provider: slurm, partition: p, work_dir: /w}]",
            "pools: [{name: a, provider: local}, {name: b, provider: local}]",
            "pools: [{name: a, provider: local, slots: [0, 1]}, {name: b, provider: local, slots: [1]}]",
            "pools: [{name: A!, provider: local}]",
            "pools: [{name: a, provider: moon}]",
            "pools: [{name: a, provider: aws, region: eu-west-1, access_key: AKIA}]",
            "pools: [{name: a, provider: aws, region: nowhere}]",
            "pools: [{name: a, provider: aws, region: eu-west-1, external_id: x}]",
            "pools: {",
        ],
    )
    def test_what_cannot_be_is_refused(self, path: Path, text: str) -> None:
        path.parent.mkdir()
        path.write_text(text)
        with pytest.raises(InvalidInput) as raised:
            PoolBook(path).all()
        assert "pools.yaml" in raised.value.reason

    def test_two_pools_of_this_host_share_it(self, path: Path) -> None:
        path.parent.mkdir()
        path.write_text("pools: [{name: a, provider: local, slots: [0]}, {name: b, provider: local, slots: [1]}]")
        assert [pool.name for pool in PoolBook(path).all()] == ["a", "b"]


class TestWriting:
    def test_what_is_written_is_read(self, path: Path) -> None:
        given = POOL_SPEC.validate_python({"name": "west", "provider": "aws", "region": "us-west-2", "instance_types": ["p5.48xlarge"]})
        book = PoolBook(path)
        book.add(given)
        assert PoolBook(path).named("west") == given

    def test_a_name_is_taken_once(self, path: Path) -> None:
        book = PoolBook(path)
        book.add(slurm())
        with pytest.raises(Conflict):
            book.add(slurm())

    def test_the_last_one_stays(self, path: Path) -> None:
        with pytest.raises(Conflict):
            PoolBook(path).remove("local")

    def test_a_change_that_cannot_be_leaves_the_file_as_it_was(self, path: Path) -> None:
        book = PoolBook(path)
        book.add(slurm())
        before = path.read_text()
        with pytest.raises(InvalidInput):
            book.add(LocalPool(name="again"))
        assert path.read_text() == before
