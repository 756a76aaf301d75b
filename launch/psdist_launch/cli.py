"""The `psdist` command: reads the command line, and turns errors into one line and an exit code.

Exit codes: of `run`, see `psdist run --help`; 2 for a command line or a setting that is wrong; 1 for other
errors of ours.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import psdist
from psdist.errors import ConfigError, PSError
from psdist.settings import Settings

from .bench import command as bench
from .cluster import Cluster, is_loopback, resolve_command
from .local import Job, JobFolder, check_port, free_port, new_name, running_jobs
from .logs import QuietScreen, Screen
from .plan import command as planning
from .torture import command as torture

__all__ = ["main"]

# A job of ours that needs none of the options of `run`.
_PLAIN: dict[str, Any] = {
    "job": "",
    "host": "127.0.0.1",
    "port": None,
    "insecure": False,
    "grace": 5.0,
    "replicas": 0,
    "elastic": "",
    "max_servers": 0,
    "restarts": 0,
    "snapshot_dir": "",
    "restore": "",
    "ack": "",
    "guard": "",
    "server_module": "",
}

_RUN_HELP = """\
Starts a scheduler, servers, and workers that each run the command after `--`. Everything a process prints
carries its name.

Exit code: 0 when every worker exited 0; else that of the first process that failed (128 + n if signal n
killed it), which the last line names; 128 + n when signal n stopped the launcher.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (the process's by default), and return the exit code."""
    args = list(sys.argv[1:] if argv is None else argv)
    ours, command = _split(args)
    parser = _parser()
    options, unknown = parser.parse_known_args(ours)
    options.command = command
    if unknown and not (options.name == "run" and command is None):  # there the missing -- is what to say
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    action: Callable[[argparse.Namespace], int] = options.action
    try:
        return action(options)
    except ConfigError as e:
        return _complain(options.name, e, 2)
    except PSError as e:
        return _complain(options.name, e, 1)
    except BrokenPipeError:  # whoever read our output has gone, and the job is ended
        sys.stdout = sys.stderr  # or Python would try to flush it once more
        return 128 + 13
    except KeyboardInterrupt:
        return 128 + 2


def _complain(name: str, error: Exception, code: int) -> int:
    print(f"psdist {name}: {error}", file=sys.stderr)
    return code


def _split(args: list[str]) -> tuple[list[str], list[str] | None]:
    """What stands before the first `--`, and what after it; None without one."""
    if "--" not in args:
        return args, None
    at = args.index("--")
    return args[:at], args[at + 1 :]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line instead of two."""
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="psdist", description="Training by parameter server. Each command has its own --help."
    )
    parser.add_argument("--version", action="version", version=f"psdist {psdist.__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    run = commands.add_parser(
        "run",
        help="start a job on this machine",
        usage="psdist run [-n WORKERS] [-s SERVERS] [options] -- COMMAND ...",
        description=_RUN_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_sizes(run)
    run.add_argument("--job", metavar="NAME", default="", help="the job's id (default: a new one)")
    run.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on (default: %(default)s); CURVE keys are made unless it is loopback",
    )
    run.add_argument("--port", type=int, default=None, help="the scheduler's port (default: a free one)")
    run.add_argument(
        "--replicas",
        type=int,
        default=0,
        metavar="N",
        help="copies of each server's arrays on other servers: a server may die (default: %(default)s)",
    )
    run.add_argument(
        "--elastic",
        default="",
        metavar="MIN:MAX",
        help="go on when workers die or are added, as long as there are so many",
    )
    run.add_argument(
        "--max-servers",
        type=int,
        default=0,
        metavar="N",
        help="up to how many servers `psdist scale` may give the job (default: those of -s)",
    )
    run.add_argument(
        "--ack",
        choices=["applied", "replicated", "on-disk"],
        default="",
        help="how safe a push is when it counts as done; on-disk: in a log in --snapshot-dir, from which --restore goes on "
        "without losing one (default: replicated where there are replicas, else applied)",
    )
    run.add_argument(
        "--snapshot-dir",
        metavar="DIR",
        default="",
        help="where servers write snapshots: a folder, or s3://...",
    )
    run.add_argument(
        "--snapshot-every",
        type=int,
        metavar="N",
        default=100,
        help="rounds from one to the next (default: %(default)s)",
    )
    run.add_argument(
        "--snapshot-keep", type=int, metavar="N", default=3, help="how many are kept (default: %(default)s)"
    )
    run.add_argument("--restore", metavar="DIR", default="", help="go on from the newest snapshot there")
    run.add_argument(
        "--guard",
        choices=["off", "warn", "refuse"],
        default="",
        help="what to do with a push that holds NaN or infinity (default: off)",
    )
    run.add_argument(
        "--server-module",
        metavar="NAME",
        default="",
        help="a module with optimizers of your own, that servers import when they start",
    )
    run.add_argument(
        "--restarts",
        type=int,
        default=3,
        metavar="N",
        help="how often to start each one again that died and that the job survived (default: %(default)s)",
    )
    run.add_argument("--insecure", action="store_true", help="no keys although others can reach --host")
    run.add_argument(
        "--grace",
        type=float,
        default=5.0,
        metavar="SECONDS",
        help="after a failure, time for the others to end by themselves (default: %(default)s)",
    )
    run.set_defaults(action=_run, name="run")

    demo = commands.add_parser(
        "demo",
        help="train a small network on handwritten digits, here",
        usage="psdist demo [-n WORKERS] [-s SERVERS] [-- OPTIONS OF THE TRAINING SCRIPT]",
        description="Trains a LeNet-style network on scikit-learn's handwritten digits, on this machine.",
    )
    _add_sizes(demo)
    demo.add_argument(
        "--plot", metavar="PATH", default="digits.png", help="the picture (default: %(default)s)"
    )
    demo.set_defaults(action=_demo, name="demo", **_PLAIN)

    benched = commands.add_parser(
        "bench",
        help="measure how fast parameters are exchanged on this machine",
        usage="psdist bench [-n WORKERS] [-s SERVERS] [--profile] [options]",
        description="Measures push and pull of large and small arrays, and with --profile where a round's time goes.",
    )
    _add_sizes(benched)
    bench.add_arguments(benched)
    benched.set_defaults(action=_bench, name="bench", **_PLAIN)

    status = commands.add_parser("status", help="show a running job")
    _add_job(status)
    status.set_defaults(action=_status, name="status")

    scale = commands.add_parser(
        "scale",
        help="give a running job more servers, or fewer",
        description="Moves slices live: training goes on, and no push is lost. Servers are started by `psdist run`, or, "
        "where another launched the job, by you: DMLC_ROLE=server PSDIST_RANK=2 ... python -m psdist_server.",
    )
    scale.add_argument("--servers", type=int, required=True, metavar="N", help="how many there should be")
    scale.add_argument(
        "--timeout",
        type=float,
        default=60.0,
        metavar="SECONDS",
        help="how long to wait until it is done (default: %(default)s)",
    )
    _add_job(scale)
    scale.set_defaults(action=_scale, name="scale")

    explain = commands.add_parser(
        "explain",
        help="show how a model's graph is executed",
        description="Shows what every pass does to a graph, the memory that it takes, and where the time goes.",
    )
    explain.add_argument("symbol", type=Path, help="the graph: a file such as model-symbol.json")
    explain.add_argument(
        "--shape",
        action="append",
        default=[],
        metavar="NAME=N,N,...",
        help="an input's shape, such as data=64,1,28,28; may be given several times",
    )
    explain.add_argument("--predict", action="store_true", help="the plan for prediction instead of training")
    explain.add_argument("--run", action="store_true", help="also measure, on random numbers")
    explain.add_argument("--picture", metavar="PATH", help="write the graph: .dot, or what Graphviz draws")
    explain.set_defaults(action=_explain, name="explain")

    planned = commands.add_parser(
        "plan",
        help="predict a training step on a cluster that is not there",
        description="Plays the rules of workers and servers in virtual time, with costs that were measured.",
    )
    planned.add_argument("--workers", type=int, default=8, metavar="N", help="(default: %(default)s)")
    planned.add_argument("--servers", type=int, default=2, metavar="N", help="(default: %(default)s)")
    planning.add_arguments(planned)
    planned.set_defaults(action=_plan, name="plan")

    tortured = commands.add_parser(
        "torture",
        help="play thousands of faults in a simulated world, and check what must hold",
        description="Plays the real rules of scheduler, servers and workers in seeded, simulated worlds full of "
        "faults. Exit code 1 when something did not hold; a seed plays the same schedule every time.",
    )
    torture.add_arguments(tortured)
    tortured.set_defaults(action=_torture, name="torture")

    snapshot = commands.add_parser(
        "snapshot",
        help="list, inspect, verify or restore snapshots",
        add_help=False,
        prefix_chars="+",  # so that --help is among the rest, which the servers' tool reads
    )
    snapshot.add_argument("rest", nargs=argparse.REMAINDER)
    snapshot.set_defaults(action=_snapshot, name="snapshot")

    keygen = commands.add_parser("keygen", help="make a job's CURVE keys")
    keygen.add_argument("file", type=Path, help="the file to write, readable by you only; must not exist")
    keygen.set_defaults(action=_keygen, name="keygen")

    version = commands.add_parser("version", help="show the versions of psdist and of what it stands on")
    version.set_defaults(action=_version, name="version")
    return parser


def _add_sizes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-n", "--workers", type=int, default=2, metavar="N", help="number of workers (default: %(default)s)"
    )
    parser.add_argument(
        "-s", "--servers", type=int, default=1, metavar="N", help="number of servers (default: %(default)s)"
    )


def _add_job(parser: argparse.ArgumentParser) -> None:
    """How a running job is named."""
    parser.add_argument(
        "--root", metavar="HOST:PORT", default="", help="the scheduler's address (default: --host and --port)"
    )
    parser.add_argument(
        "--host", default="", help="the scheduler's host (default: of the job that this machine runs)"
    )
    parser.add_argument("--port", type=int, default=0, help="the scheduler's port")
    parser.add_argument("--job", metavar="NAME", default="", help="the job's id, when several run here")
    parser.add_argument("--key-file", default="", help="the job's CURVE keys")


def _refuse_command(options: argparse.Namespace) -> None:
    if options.command:
        raise ConfigError(f"takes no command after --, got {' '.join(options.command)!r}")


# ── the commands ──────────────────────────────────────────────────────────────────────────────────


def _run(options: argparse.Namespace) -> int:
    if not options.command:
        raise ConfigError("no command; it comes after --: psdist run -n 2 -s 1 -- python train.py")
    return _launch(options, resolve_command(options.command))


def _demo(options: argparse.Namespace) -> int:
    script = (sys.executable, str(_demo_script()), "--kv-store", "dist_sync", "--plot", options.plot)
    return _launch(options, (*script, *(options.command or ())))


def _demo_script() -> Path:
    """The training script: shipped in a wheel, or the example that it is shipped from."""
    here = Path(__file__).resolve()
    places = (here.parent / "_demo" / "train_digits.py", here.parents[2] / "examples" / "train_digits.py")
    for place in places:
        if place.is_file():
            return place
    raise ConfigError(f"the demo's script is missing: looked for {' and '.join(map(str, places))}")


def _bench(options: argparse.Namespace) -> int:
    _refuse_command(options)

    return bench.run(options, _launch_quietly)


def _plan(options: argparse.Namespace) -> int:
    _refuse_command(options)
    one = argparse.Namespace(**_PLAIN, workers=1, servers=1)
    return planning.run(options, lambda program, variables: _launch_quietly(one, program, variables))


def _launch_quietly(
    options: argparse.Namespace, program: tuple[str, ...], variables: Mapping[str, str]
) -> int:
    screen = QuietScreen.on(sys.stdout.buffer, sys.stderr.buffer)
    code = _launch(options, (sys.executable, *program), screen, variables)
    if code:
        screen.show_kept()
    return code


def _launch(
    options: argparse.Namespace,
    command: tuple[str, ...],
    screen: Screen | None = None,
    variables: Mapping[str, str] | None = None,
) -> int:
    from .contact import SchedulerContact  # loads ZeroMQ; --help need not wait for it
    from .keys import write_keys
    from .supervise import Supervisor

    if options.grace <= 0:
        raise ConfigError(f"--grace {options.grace:g}: wanted seconds above 0")
    host, name = options.host, options.job or new_name()
    if options.port is not None and 0 < options.port < 65536:
        check_port(host, options.port)
    cluster_port = free_port(host) if options.port is None else options.port
    with JobFolder(name) as folder:
        key_file = ""
        if not is_loopback(host) and not options.insecure:
            key_file = os.environ.get("PSDIST_KEY_FILE", "") or str(write_keys(folder.path / "keys"))
        cluster = Cluster(
            command=command,
            num_workers=options.workers,
            num_servers=options.servers,
            host=host,
            port=cluster_port,
            job=name,
            mark=folder.path.name,
            key_file=key_file,
            insecure=options.insecure,
            replicas=options.replicas,
            elastic=_elastic(options.elastic),
            max_servers=options.max_servers,
            restarts=options.restarts,
            variables={**_variables(options), **(variables or {})},
        )
        screen = screen or Screen.on(sys.stdout.buffer, sys.stderr.buffer)
        with (
            Supervisor(
                cluster, screen, base=os.environ, folder=str(folder.path), grace_s=options.grace
            ) as supervisor,
            SchedulerContact(host, cluster.port, name, key_file) as contact,
        ):
            folder.announce(Job(name=name, host=host, port=cluster.port, pid=os.getpid(), key_file=key_file))
            verdict = supervisor.run(contact)
    if verdict.text:
        screen.say(verdict.text)
    return verdict.exit_code


def _variables(options: argparse.Namespace) -> dict[str, str]:
    """Options that are settings of the members, as their variables."""
    variables = {}
    if options.guard:
        variables["PSDIST_GUARD"] = options.guard
    if options.ack:
        variables["PSDIST_ACK"] = options.ack
        if options.ack == "on-disk" and not options.snapshot_dir:
            raise ConfigError(
                "--ack on-disk: the log goes into the folder of the snapshots; name one by --snapshot-dir"
            )
    if options.server_module:
        variables["PSDIST_SERVER_MODULE"] = options.server_module
    if options.snapshot_dir:
        variables["PSDIST_SNAPSHOT_DIR"] = _folder(options.snapshot_dir)
        variables["PSDIST_SNAPSHOT_EVERY"] = str(options.snapshot_every)
        variables["PSDIST_SNAPSHOT_KEEP"] = str(options.snapshot_keep)
        if options.snapshot_every < 1 or options.snapshot_keep < 1:
            raise ConfigError("--snapshot-every and --snapshot-keep are 1 or more")
    if options.restore:
        if "://" not in options.restore and not os.path.isdir(options.restore):
            raise ConfigError(f"--restore {options.restore}: no such folder")
        variables["PSDIST_RESTORE"] = _folder(options.restore)
    return variables


def _folder(where: str) -> str:
    """A path as every member understands it; a URL, which an object store has, as it is."""
    return where if "://" in where else os.path.abspath(where)


def _snapshot(options: argparse.Namespace) -> int:
    """The servers' own tool, in a process of its own: the launcher does not know the servers' code."""
    _refuse_command(options)
    argv = [sys.executable, "-m", "psdist_server.snapshot", *options.rest]
    return subprocess.run(argv, check=False).returncode


def _elastic(text: str) -> tuple[int, int] | None:
    try:
        return Settings.read({"PSDIST_ELASTIC": text}).elastic
    except ConfigError as e:
        raise ConfigError(str(e).replace("PSDIST_ELASTIC=", "--elastic ")) from None


def _status(options: argparse.Namespace) -> int:
    from .contact import ask_status

    _refuse_command(options)
    job = _find_job(options)
    print(ask_status(job.host, job.port, job.name, job.key_file))
    return 0


def _scale(options: argparse.Namespace) -> int:
    from .contact import ask_scale

    _refuse_command(options)
    if options.servers < 1:
        raise ConfigError(f"--servers {options.servers}: wanted 1 or more")
    if not 0 < options.timeout < 1e9:
        raise ConfigError(f"--timeout {options.timeout:g}: wanted seconds above 0")
    job = _find_job(options)
    print(ask_scale(job.host, job.port, job.name, options.servers, job.key_file, options.timeout))
    return 0


def _find_job(options: argparse.Namespace) -> Job:
    """The job that the options, the environment, or this machine's running jobs name."""
    settings = Settings.read()
    if options.root:
        host, _, port_text = options.root.rpartition(":")
        if not host or not port_text.isdecimal():
            raise ConfigError(f"--root {options.root}: wanted HOST:PORT, such as 10.0.0.7:9100")
        options.host, options.port = host.strip("[]"), int(port_text)
    host, port = options.host or settings.root_uri, options.port or settings.root_port
    if host and port:
        key_file = options.key_file or settings.key_file
        return Job(name=options.job or settings.job, host=host, port=port, pid=0, key_file=key_file)
    if host or port:
        raise ConfigError("--host and --port belong together")
    jobs = [job for job in running_jobs() if options.job in ("", job.name)]
    if not jobs:
        which = f"no job {options.job!r} of yours runs" if options.job else "no job of yours runs"
        raise ConfigError(f"{which} on this machine; for one elsewhere give --host, --port and --job")
    if len(jobs) > 1:
        raise ConfigError(
            f"{len(jobs)} jobs run here; choose one: --job {' or --job '.join(job.name for job in jobs)}"
        )
    return jobs[0]


def _explain(options: argparse.Namespace) -> int:
    from psdist.executor.explain import explain_file  # slow to import, and of no use to a launcher otherwise

    text = explain_file(options.symbol, options.shape, options.predict, options.run, options.picture)
    print(text, end="")
    return 0


def _torture(options: argparse.Namespace) -> int:
    _refuse_command(options)
    return torture.run(options)


def _keygen(options: argparse.Namespace) -> int:
    from .keys import write_keys

    _refuse_command(options)
    path = write_keys(options.file)
    print(
        f"wrote {path}, readable by you only; give every process of the job PSDIST_KEY_FILE={path.resolve()}"
    )
    return 0


def _version(options: argparse.Namespace) -> int:
    import msgpack  # type: ignore[import-untyped]
    import numpy
    import zmq

    _refuse_command(options)
    print(
        f"psdist {psdist.__version__} (Python {platform.python_version()}, NumPy {numpy.__version__}, "
        f"pyzmq {zmq.__version__}, libzmq {zmq.zmq_version()}, msgpack {'.'.join(map(str, msgpack.version))})"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
