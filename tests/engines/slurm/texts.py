"""The configuration of a small Slurm on one host: loopback only, two nodes with four GPUs each that are no GPUs."""

from dataclasses import dataclass
from pathlib import Path

GPUS, NODES = 4, 2
KILL_SECONDS = 5

SLURM = """ClusterName=lineshaft
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=cred_expire=5
AuthAltTypes=auth/jwt
AuthAltParameters=jwt_key={folder}/jwt.key
CredType=cred/munge
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/log/slurmctld
SlurmdLogFile={folder}/log/slurmd.%n
ProctrackType={proctrack}
TaskPlugin={task}
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={accounts_port}
AccountingStorageEnforce=associations,limits,qos,safe
AccountingStorageTRES=gres/gpu
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
PreemptType=preempt/qos
PreemptMode=REQUEUE
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=1,sched_min_interval=0,batch_sched_delay=0,bf_resolution=1,kill_invalid_depend
PrivateData={private}
MaxArraySize=10001
KillWait={kill_seconds}
ReturnToService=2
SlurmdParameters=config_overrides
MailProg=/bin/true
MpiDefault=none
PropagateResourceLimits=NONE
SlurmctldTimeout=10
SlurmdTimeout=60
MessageTimeout=5
NodeName=DEFAULT CPUs=16 CoresPerSocket=16 RealMemory=16000 Gres=gpu:h100:{gpus}
NodeName={node}[1-{nodes}] NodeHostname={host} NodeAddr=127.0.0.1 Port=[{node_ports}]
PartitionName=gpu Nodes=ALL Default=YES MaxTime=1-0
PartitionName=cpu Nodes={node}1 MaxTime=1-0
"""
GRES = """AutoDetect=off
NodeName={node}[1-{nodes}] Name=gpu Type=h100 File={folder}/gpu[0-{last}]
"""
CGROUP = """CgroupPlugin=cgroup/v1
CgroupAutomount=yes
ConstrainRAMSpace=yes
"""
ACCOUNTS = """AuthType=auth/munge
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort={accounts_port}
CommunicationParameters=NoInAddrAny
SlurmUser=root
LogFile={folder}/log/slurmdbd
PidFile={folder}/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={database_port}
StorageUser=slurm
StoragePass={password}
StorageLoc=slurm
PrivateData={private}
"""


@dataclass(frozen=True)
class Plan:
    """Where everything lies, and which ports it has."""

    folder: Path
    host: str
    password: str
    ports: tuple[int, ...]
    contained: bool
    """Whether control groups hold a job's processes; without them, one that detaches itself gets away."""
    private: str = "jobs,accounts,users,usage"
    node: str = "n"
    """How its nodes' names begin: control groups are named after them, so two clusters on one host must differ."""

    @property
    def database_port(self) -> int:
        """Of MariaDB."""
        return self.ports[0]

    def texts(self) -> dict[str, str]:
        """The files of the configuration, by name."""
        words = {
            "folder": str(self.folder),
            "host": self.host,
            "password": self.password,
            "database_port": self.ports[0],
            "accounts_port": self.ports[1],
            "controller_port": self.ports[2],
            "node_ports": ",".join(str(port) for port in self.ports[3:]),
            "nodes": NODES,
            "node": self.node,
            "gpus": GPUS,
            "last": GPUS - 1,
            "private": self.private,
            "kill_seconds": KILL_SECONDS,
            "proctrack": "proctrack/cgroup" if self.contained else "proctrack/linuxproc",
            "task": "task/cgroup" if self.contained else "task/none",
        }
        files = {"slurm.conf": SLURM, "gres.conf": GRES, "slurmdbd.conf": ACCOUNTS} | ({"cgroup.conf": CGROUP} if self.contained else {})
        return {name: text.format(**words) for name, text in files.items()}
