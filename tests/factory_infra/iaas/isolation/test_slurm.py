"""What slurm.conf and the accounts say about walls, and what an attack tries."""

from pathlib import Path

from factory_infra.foundation.pools.slurm import Ask, Said, SlurmCommands
from factory_infra.foundation.pools.slurm_accounts import SlurmAccounts
from factory_infra.foundation.pools.spec import SlurmPool
from factory_infra.iaas.isolation.models import Wall
from factory_infra.iaas.isolation.providers.slurm import SlurmWalls, config_of, private_wall, process_wall
from factory_infra.iaas.isolation.providers.slurm_attack import Bait, tries
from factory_infra.settings import Settings

CONFIG = """Configuration data as of 1795634802
AccountingStorageEnforce = associations,limits,qos,safe
PrivateData             = accounts,jobs,usage,users
ProctrackType           = proctrack/cgroup
"""


def walls_of(tmp_path: Path, users: dict[str, str], lines: str, config: str = CONFIG, code: int = 0) -> dict[str, Wall]:
    """The walls of team vision where Slurm answers so."""

    class Recorded(SlurmCommands):
        def ask(self, ask: Ask) -> Said:
            answer = config if ask.argv[0] == "scontrol" else lines
            return Said(code if ask.argv[0] == "sacctmgr" else 0, answer, answer)

    pool = SlurmPool(name="hpc", partition="gpu", work_dir=tmp_path, users=users)
    walls = SlurmWalls(pool, Settings(home=tmp_path, model="none"))
    commands = Recorded(pool)
    walls._commands, walls._accounts = commands, SlurmAccounts(pool, commands)
    return {wall.name: wall for wall in walls._check("vision")}


def test_all_stand_with_an_account_and_a_user_of_its_own(tmp_path: Path) -> None:
    found = walls_of(tmp_path, {"vision": "games"}, "lineshaft_vision||gres/gpu=4|lineshaft\nlineshaft_vision|games||\n")
    assert {wall.state for wall in found.values()} == {"up"}
    assert "4 gres/gpu" in found["slurm_quota"].note


def test_what_is_missing_or_shared_is_told(tmp_path: Path) -> None:
    assert walls_of(tmp_path, {"vision": "games"}, "")["slurm_account"].state == "missing"
    lines = "lineshaft_vision|games||\nlineshaft_vision|news||\n"
    found = walls_of(tmp_path, {"vision": "games", "speech": "games"}, lines)
    assert found["slurm_account"].state == "broken" and "news" in found["slurm_account"].note
    assert found["unix_user"].state == "broken" and "speech" in found["unix_user"].note
    assert walls_of(tmp_path, {}, lines)["unix_user"].state == "not_available"
    assert walls_of(tmp_path, {"vision": "no_such_account"}, lines)["unix_user"].state == "missing"


def test_a_cluster_without_accounts_says_so(tmp_path: Path) -> None:
    found = walls_of(tmp_path, {}, "You are not running a supported accounting_storage plugin", code=1)
    assert found["slurm_account"].state == "not_available" and found["slurm_account"].note


def test_a_folder_that_others_may_enter_is_found(tmp_path: Path) -> None:
    job = tmp_path / "hpc/jobs/vision/job-1"
    job.mkdir(parents=True, mode=0o700)
    job.parent.chmod(0o711)
    lines = "lineshaft_vision|games||\n"
    assert walls_of(tmp_path, {"vision": "games"}, lines)["job_folders"].state == "up"
    job.chmod(0o750)
    assert walls_of(tmp_path, {"vision": "games"}, lines)["job_folders"].state == "broken"


def test_what_only_the_clusters_administrator_can_change_is_told() -> None:
    assert private_wall(config_of(CONFIG)).state == "up"
    assert private_wall({"PrivateData": "jobs"}).state == "not_available" and "usage" in private_wall({"PrivateData": "jobs"}).note
    assert private_wall({}).state == "not_available"
    assert process_wall({"ProctrackType": "proctrack/linuxproc"}).state == "not_available"


def test_every_door_is_tried_and_stopping_comes_last() -> None:
    found = tries(Bait("job", "17", Path("/shared/hpc/jobs/speech/job"), "word", "lineshaft_speech"))
    doors = [each.door for each in found]
    assert set(doors) == {"see", "stop", "read_logs", "use_data", "spend"}
    assert doors.index("stop") > max(index for index, door in enumerate(doors) if door != "stop")
    assert all(argument == "/shared/hpc/records" for each in found for argument in each.argv if "records" in argument)
