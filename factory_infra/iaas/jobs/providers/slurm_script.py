"""The script that Slurm runs: it claims the job, notes each start, runs the program within its walls, and notes the end.

Every word that comes from outside is quoted; the script itself holds no other text of a user's.
"""

from pathlib import Path
from shlex import join, quote

from factory_infra.foundation.pools.slurm import SEARCH_PATH
from factory_infra.iaas.jobs.models import JobSpec

KIB = 1024
GRACE_SECONDS = 5
PORT_FIRST, PORTS = 15_000, 16_000
LOCK_SECONDS = 120

HEAD = """#!/bin/bash
# Lineshaft wrote this for the job {name}.
export PATH={path} LANG=C.UTF-8
dir={folder}
mine=${{SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}}
# A submission that was given up, or came in twice, ends here without a trace.
[ "$(cat "$dir/generation" 2>/dev/null)" = {generation} ] || exit 0
ln -s "$mine" "$dir/owner.{generation}" 2>/dev/null || [ "$(readlink "$dir/owner.{generation}")" = "$mine" ] || exit 0
"""
TASK = """home=$dir/tasks/$SLURM_ARRAY_TASK_ID
# A task that succeeded before is not run again.
compgen -G "$dir/ends/$SLURM_ARRAY_TASK_ID.0.*" > /dev/null && exit 0
export LINESHAFT_ARRAY_INDEX=$SLURM_ARRAY_TASK_ID LINESHAFT_ARRAY_COUNT={count}
for input in {inputs}; do ln -sf "$dir/$input" "$home/$input"; done
"""
ALONE = "home=$dir\n"
BODY = """cd "$home" || exit 75
# An earlier start that Slurm has lost sight of may still be ending.
exec 9>>"$home/.running"
flock -w {lock_seconds} -E 75 9
[ $? = 75 ] && exit 75
# A start that Slurm forgot may have come to its good end: then there is nothing left to do.
grep -qs '"code": 0,' "$home/exit.json" && exit 0
rm -f "$home/exit.json"
{environment}
export LINESHAFT_FOLDER=$dir LINESHAFT_JOB_ID={id} LINESHAFT_JOB_DIR=$home LINESHAFT_CHECKPOINT_DIR=$home/checkpoints
export NNODES=$SLURM_NNODES WORLD_SIZE=$SLURM_NNODES MASTER_PORT=$(({port_first} + SLURM_JOB_ID % {ports}))
{rendezvous}
stopped=0 child=
# Slurm tells only the processes that it started itself: the script hands it on.
trap 'stopped=1; {forward}' TERM
while :; do
  rm -f "$home/.late"
  echo "$(date +%s.%N) $SLURM_JOB_NODELIST" >> "$home/starts"
  export LINESHAFT_ATTEMPT=$(wc -l < "$home/starts")
  {run} & child=$!
  while wait "$child" 2> /dev/null; code=$?; kill -0 "$child" 2> /dev/null; do :; done
  # Whoever asks it to end has Slurm say how it ended.
  [ $stopped = 1 ] && exit 143
  [ $code = 0 ] && break
  echo "$code" >> "$home/failures.{generation}"
  [ "$(wc -l < "$home/failures.{generation}")" -ge {attempts} ] && break
done
timed_out=false
[ -e "$home/.late" ] && timed_out=true
said='{{"generation": {generation}, "code": %d, "at": %s, "timed_out": %s}}'
printf "$said" "$code" "$(date +%s.%N)" "$timed_out" > "$home/.exit.new" && mv "$home/.exit.new" "$home/exit.json"
{end}exit "$code"
"""
ONE_NODE = "export MASTER_ADDR=127.0.0.1"
MANY_NODES = """first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
if getent hosts "$first" > /dev/null; then
  export MASTER_ADDR=$first
else
  export MASTER_ADDR=$(scontrol show node "$first" | sed -n 's/.*NodeAddr=\\([^ ]*\\).*/\\1/p' | head -n 1)
fi"""
STEP = """#!/bin/bash
export NODE_RANK=${{SLURM_NODEID:-0}}
ulimit -c 0
ulimit -f {file_kib}
{memory}# Waits in the shell itself: a sleeping process would outlive it.
exec 8<> <(:)
pause() {{ read -rt "$1" -u 8 _; }}
ask() {{ kill -TERM -- "-$child" 2> /dev/null; }}
end() {{ ask; pause {grace}; kill -KILL -- "-$child" 2> /dev/null; }}
mine() {{ exec 9>&- > /dev/null 2>&1; }}
ending() {{ [ -e "$LINESHAFT_FOLDER/ending" ] || [ -e "$LINESHAFT_FOLDER/ending.$SLURM_ARRAY_TASK_ID" ]; }}
# When we end it, it has a few seconds; when Slurm takes its place away, what Slurm allows.
trap 'if ending; then (mine; end) & ender=$!; else ask; fi' TERM
watch= ender=
set -m
{program} 8>&- & child=$!
set +m
{watch}while wait "$child" 2> /dev/null; code=$?; kill -0 "$child" 2> /dev/null; do :; done
# Slurm looks for what is left only once a second.
kill $watch $ender 2> /dev/null
exit "$code"
"""
WATCH = """(mine; trap - TERM; pause {seconds}; touch "$LINESHAFT_JOB_DIR/.late"; end) & watch=$!
"""
STEP_FILE = 'bash "$dir/step.sh"'
SRUN = "srun --kill-on-bad-exit=1 --ntasks-per-node=1 --export=ALL --propagate=NONE"


def script_of(spec: JobSpec, folder: Path, name: str, generation: int) -> str:
    """The script for `sbatch`, for one generation of submissions."""
    many = spec.nodes > 1
    run = f"{SRUN} {STEP_FILE}" if many else STEP_FILE
    task = TASK.format(count=spec.array, inputs=join(spec.inputs)) if spec.array else ALONE
    end = f'touch "$dir/ends/$SLURM_ARRAY_TASK_ID.$code.{generation}"\n' if spec.array else ""
    return (
        HEAD.format(name=quote(name), path=quote(SEARCH_PATH), folder=quote(str(folder)), generation=generation)
        + task
        + BODY.format(
            lock_seconds=LOCK_SECONDS,
            environment=environment_of(spec),
            id=quote(spec.id),
            port_first=PORT_FIRST,
            ports=PORTS,
            rendezvous=MANY_NODES if many else ONE_NODE,
            run=run,
            attempts=spec.attempts_max,
            generation=generation,
            forward="" if many else '[ -n "$child" ] && kill -TERM "$child"',
            end=end,
        )
    )


def step_of(spec: JobSpec, argv: list[str]) -> str:
    """The script that starts the program on each node, inside its walls."""
    seconds = seconds_of(spec)
    # A GPU driver reserves far more addresses than it uses; there Slurm's own limit of memory is the only wall.
    memory = "" if spec.slot_kind == "gpu" else f"ulimit -v {int(spec.limits.memory_gib * KIB * KIB)}\n"
    return STEP.format(
        file_kib=int(spec.limits.file_gib * KIB * KIB),
        memory=memory,
        program=join(argv),
        grace=GRACE_SECONDS,
        watch="" if seconds is None else WATCH.format(seconds=f"{seconds:.3f}"),
    )


def environment_of(spec: JobSpec) -> str:
    """The lines that set what the program sees: nothing of ours but what its specification names."""
    threads = str(max(len(spec.slots), 1))
    own = {"LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    own |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), threads)
    if spec.slot_kind != "gpu":
        own["CUDA_VISIBLE_DEVICES"] = ""
    lines = ["export HOME=$home TMPDIR=$home/tmp"]
    return "\n".join(lines + [f"export {name}={quote(value)}" for name, value in (own | spec.environment).items()])


def seconds_of(spec: JobSpec) -> float | None:
    """How long the program may run; None for a server."""
    return None if spec.service else spec.limits.seconds
