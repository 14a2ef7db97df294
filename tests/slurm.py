"""A SLURM cluster of two nodes on this machine: the real daemons, on loopback alone, in a folder of their own."""

from __future__ import annotations

import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from getpass import getuser
from pathlib import Path
from tempfile import mkdtemp

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "scancel", "sinfo", "squeue")
ENDED = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY")

# Two daemons that call themselves n1 and n2 are the nodes; they have the cores that jobs ask for, whatever is here.
# Lightning and torchrun.sh choose their port by the job's number, so those of two clusters must not be alike.
# Whatever SLURM has limits for may take long on a machine that has other work. MinJobAge=0 would mean 2 s.
CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
FirstJobId={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.sock
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
SlurmdParameters=config_overrides
PropagateResourceLimits=NONE
KillWait=5
MessageTimeout=100
BatchStartTimeout=600
UnkillableStepTimeout=600
SlurmdTimeout=0
MinJobAge=86400
NodeName=n[1-2] NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]}-{ports[2]} CPUs=32 RealMemory=1000
PartitionName=main Nodes=ALL Default=YES
"""


def missing() -> list[str]:
    """Programs of SLURM that are not installed."""
    return [name for name in PROGRAMS if _which(name) is None]


def _which(name: str) -> str | None:
    return shutil.which(name, path=os.pathsep.join((os.environ["PATH"], "/usr/sbin", "/sbin")))


class Slurm:
    """Submits jobs and asks after them.

    Attributes:
        environment: Of every command, and so of the jobs.
    """

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment | {"SLURM_CONF": str(folder / "slurm.conf")}
        self.daemons: list[subprocess.Popen[bytes]] = []

    def call(self, *words: object, **more: str) -> str:
        done = subprocess.run(
            list(map(str, words)), env=self.environment | more, capture_output=True, text=True, timeout=600, check=False
        )
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}{self.logs()}"
        return done.stdout.strip()

    def submit(self, options: Sequence[object], script: Path, *words: object, cwd: Path, **more: str) -> str:
        """Number of the job, or of the array."""
        return self.call("sbatch", "--parsable", f"--chdir={cwd}", *options, script, *words, **more)

    def requeue_at_once(self, job: str) -> None:
        """Do not wait until all credentials of a job's first life are spent, as SLURM does for two minutes.

        Each task of an array resumes by itself, as soon as its first start has ended on its nodes. But a node refuses
        a life whose credential is of the very second in which it ended the life before.
        """
        again: set[str] = set()

        def start() -> bool:
            tasks = self.tasks(job)
            for name, shown in tasks.items():
                if name not in again and shown["Restarts"] != "0" and shown["JobState"] in ("PENDING", "RUNNING"):
                    if shown["JobState"] == "PENDING":
                        self.call("scontrol", "update", f"JobId={name}", "StartTime=now+2")
                    again.add(name)
            return again == set(tasks)

        self.wait(start, f"job {job} was not requeued")

    def states(self, job: str) -> list[str]:
        """State of a job, or of each task of an array."""
        return [shown["JobState"] for shown in self.tasks(job).values()]

    def tasks(self, job: str) -> dict[str, dict[str, str]]:
        """{number: what SLURM shows of it} of a job, or of each task of an array: the last one's own is the array's."""
        found = {}
        for line in self.call("scontrol", "show", "job", "--oneliner", job).splitlines():
            shown = {key: value for key, _, value in (word.partition("=") for word in line.split())}
            task = "ArrayTaskId" in shown
            found["{ArrayJobId}_{ArrayTaskId}".format(**shown) if task else shown["JobId"]] = shown
        return found

    def finish(self, job: str, state: str = "COMPLETED") -> None:
        self.wait(lambda: all(found in ENDED for found in self.states(job)), f"job {job} did not end")
        assert set(self.states(job)) == {state}, f"{self.states(job)}{self.logs()}"

    def wait(self, condition: Callable[[], bool], what: str, seconds: float = 900) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            running = all(daemon.poll() is None for daemon in self.daemons)
            assert running and time.monotonic() < deadline, what + self.logs()
            time.sleep(0.2)

    def logs(self) -> str:
        paths = sorted(self.folder.glob("*.log"))
        return "".join(f"\n--- {path.name}\n{path.read_text(errors='replace')[-2000:]}" for path in paths)


@contextmanager
def cluster(environment: dict[str, str]) -> Iterator[Slurm]:
    """Start the daemons; end them, and whatever they started, also where a test failed."""
    folder = Path(mkdtemp(prefix="wsvs-slurm-"))  # short: the path of a socket may have 107 characters
    slurm = Slurm(folder, environment)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        stack.callback(_end_all, slurm)
        (folder / "state").mkdir()
        (folder / "key").touch(0o600)
        (folder / "key").write_bytes(secrets.token_bytes(1024))
        host, ports = socket.gethostname().partition(".")[0], _three_ports()
        (folder / "slurm.conf").write_text(CONF.format(folder=folder, host=host, ports=ports, user=getuser()))
        munge = {"key-file": "key", "socket": "munge.sock", "pid-file": "munge.pid", "seed-file": "munge.seed"}
        _start(slurm, "munged", "--foreground", "--force", *(f"--{key}={folder / name}" for key, name in munge.items()))
        slurm.wait((folder / "munge.sock").exists, "munged did not start")
        _start(slurm, "slurmctld", "-D", "-c")
        for node in ("n1", "n2"):
            _start(slurm, "slurmd", "-D", "-N", node)
        slurm.wait(lambda: _idle(slurm) == 2, "the nodes did not come up")
        yield slurm


def _start(slurm: Slurm, name: str, *words: str) -> None:
    program = _which(name)
    assert program is not None
    with (slurm.folder / f"{name}.out.log").open("a") as log:
        slurm.daemons.append(
            subprocess.Popen(
                [program, *words],
                env=slurm.environment,
                cwd=slurm.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        )


def _idle(slurm: Slurm) -> int:
    done = subprocess.run(
        ["sinfo", "--noheader", "--format=%D %t"], env=slurm.environment, capture_output=True, text=True, check=False
    )
    return sum(int(line.split()[0]) for line in done.stdout.splitlines() if line.split()[1:] == ["idle"])


def _end_all(slurm: Slurm) -> None:
    """Every process that has our configuration in its environment: daemons, the steps they started, jobs."""
    mark = f"SLURM_CONF={slurm.environment['SLURM_CONF']}".encode()
    for sent in (signal.SIGTERM, signal.SIGKILL):
        for _ in range(50):
            left = [process for process in _processes() if mark in _environment(process)]
            for process in left:
                with suppress(ProcessLookupError):
                    os.kill(process, sent)
            if not left and all(daemon.poll() is not None for daemon in slurm.daemons):
                return
            time.sleep(0.1)


def _processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit() and int(path.name) != os.getpid()]


def _environment(process: int) -> list[bytes]:
    """Empty for a process that has ended, or that is another user's."""
    try:
        return Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _three_ports() -> range:
    """Three consecutive free ports: below those that jobs use and those that the system assigns meanwhile."""
    while True:
        first = random.SystemRandom().randrange(10000, 14990)
        with ExitStack() as held, suppress(OSError):
            ports = range(first, first + 3)
            for port in ports:
                held.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return ports


def python_as_wsvs(folder: Path) -> Path:
    """A folder with `wsvs` and `torchrun` of this interpreter, for the PATH of jobs."""
    folder.mkdir()
    for name, module in (("wsvs", "wsvs"), ("torchrun", "torch.distributed.run")):
        path = folder / name
        path.write_text(f'#!/bin/sh\nexec {sys.executable} -m {module} "$@"\n')
        path.chmod(0o755)
    return folder
