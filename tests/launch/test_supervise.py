"""The launcher with real processes that stand in for a job's: nothing is left, and the cause is named."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

FOREVER = ("sh", "-c", "echo pid $$; exec sleep 100")
STUBBORN = ("sh", "-c", "trap '' INT TERM; echo pid $$; while :; do sleep 0.2; done")


def test_a_job_whose_workers_exit_0_exits_0_and_leaves_nothing(standin):
    job = standin("sh", "-c", "echo hello from $DMLC_WORKER_ID")
    assert job.finish() == 0
    job.assert_nothing_left()
    assert {"[worker 0] hello from 0", "[worker 1] hello from 1"} <= set(job.lines)


def test_every_member_learns_its_place_from_the_environment(standin):
    job = standin(
        sys.executable, "-c", "import os; print(sorted(k + '=' + v for k, v in os.environ.items()))"
    )
    assert job.finish() == 0
    line = job.wait_for(r"^\[worker 1\]").string
    for variable in ("DMLC_ROLE=worker", "PSDIST_RANK=1", "DMLC_NUM_WORKER=2", "DMLC_NUM_SERVER=1"):
        assert f"'{variable}'" in line
    for variable in ("DMLC_PS_ROOT_URI=127.0.0.1", "DMLC_PS_ROOT_PORT=1", "PSDIST_JOB=test"):
        assert f"'{variable}'" in line


@pytest.mark.parametrize("code", [1, 3, 77, 255])
def test_the_exit_code_is_that_of_the_worker_that_failed_and_the_last_line_names_it(standin, code):
    script = f"if [ $PSDIST_RANK = 1 ]; then echo so it goes >&2; exit {code}; fi; exec sleep 100"
    job = standin("sh", "-c", script)
    assert job.finish() == code
    job.assert_nothing_left()
    pattern = (
        rf"^psdist run: worker 1 \(pid \d+\) exited with code {code} \(so it goes\) at \d\d:\d\d:\d\d, "
        r"before the first step$"
    )
    assert job.wait_for(pattern).string == job.last_line


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
def test_a_killed_worker_ends_the_job_with_128_and_the_signal(standin, number):
    job = standin(*FOREVER)
    os.kill(job.pid_of("worker 1"), number)
    assert job.finish() == 128 + number
    job.assert_nothing_left()
    assert f"was killed by {number.name} at" in job.last_line
    assert job.last_line.startswith("psdist run: worker 1 (pid ")


@pytest.mark.parametrize("victim", ["scheduler", "server 0"])
def test_a_killed_server_or_scheduler_is_named(standin, victim):
    job = standin(*FOREVER, service=FOREVER)
    os.kill(job.pid_of(victim), signal.SIGKILL)
    assert job.finish() == 137
    job.assert_nothing_left()
    assert job.last_line.startswith(f"psdist run: {victim} (pid ")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_the_launcher_reaches_the_workers_and_ends_everything(standin, number):
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip(f"{number.name} is ignored here, as under nohup, and so by all that is started")
    script = f"trap 'echo got it; exit 9' {number.name[3:]}; echo pid $$; while :; do sleep 0.1; done"
    job = standin("sh", "-c", script)
    job.pid_of("worker 0")
    job.popen.send_signal(number)
    job.wait_for(r"^\[worker 0\] got it$")
    assert job.finish() == 128 + number
    job.assert_nothing_left()
    assert job.last_line.startswith(f"psdist run: stopped by {number.name} at ")


def test_under_nohup_a_hangup_ends_nothing(standin):
    patient = "trap 'exit 0' TERM; echo pid $$; while :; do sleep 0.1; done"
    job = standin("sh", "-c", patient, prefix=("nohup",))
    pids = [job.pid_of("worker 0"), job.pid_of("worker 1")]
    job.popen.send_signal(signal.SIGHUP)
    for pid in pids:
        os.kill(pid, signal.SIGTERM)
    assert job.finish() == 0


def test_workers_that_ignore_every_signal_are_killed(standin):
    job = standin(*STUBBORN, service=STUBBORN)
    for member in ("scheduler", "server 0", "worker 0", "worker 1"):
        job.pid_of(member)
    job.popen.send_signal(signal.SIGINT)
    assert job.finish() == 130
    job.assert_nothing_left()


def test_a_second_signal_does_not_wait(standin):
    job = standin(*STUBBORN, grace=1000, kill=1000)
    job.pid_of("worker 0")
    job.popen.send_signal(signal.SIGINT)
    job.popen.send_signal(signal.SIGTERM)
    assert job.finish() in (130, 143)  # two signals at once may be seen in either order
    job.assert_nothing_left()


CHILDREN = """
import os, subprocess, sys
subprocess.Popen(["sleep", "100"])
subprocess.Popen(["sleep", "100"], start_new_session=True)
orphan = "import subprocess; subprocess.Popen(['sleep', '100'], start_new_session=True)"
subprocess.run([sys.executable, "-c", orphan])
print("pid", os.getpid(), flush=True)
if sys.argv[1] == "stay":
    subprocess.run(["sleep", "100"])
os._exit(0)
"""


def test_children_of_a_worker_end_with_the_job_even_in_a_session_of_their_own_and_orphaned(standin):
    job = standin(sys.executable, "-c", CHILDREN, "go")
    assert job.finish() == 0
    job.assert_nothing_left()


def test_a_launcher_that_is_killed_takes_everything_with_it(standin):
    job = standin(sys.executable, "-c", CHILDREN, "stay")
    job.pid_of("worker 0")
    job.pid_of("worker 1")
    assert len(job.processes()) > 10
    job.popen.kill()
    assert job.finish() == -signal.SIGKILL
    job.assert_nothing_left()


def test_a_killed_launcher_leaves_no_folder(standin, tmp_path):
    job = standin(*FOREVER, env={"XDG_RUNTIME_DIR": str(tmp_path)})
    job.pid_of("worker 0")
    assert len(list((tmp_path / "psdist").iterdir())) == 1
    job.popen.kill()
    job.finish()
    job.assert_nothing_left()
    assert list((tmp_path / "psdist").iterdir()) == []


def test_without_its_watchdog_the_launcher_still_takes_its_children_with_it(standin):
    job = standin(*FOREVER, service=FOREVER)
    for member in ("worker 0", "worker 1"):
        job.pid_of(member)
    (watchdog,) = [
        pid for pid in job.processes() if b"\0watch\0" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    os.kill(watchdog, signal.SIGKILL)
    job.popen.kill()
    job.finish()
    job.assert_nothing_left()


def test_last_words_without_a_line_end_are_printed(standin):
    job = standin("printf", "the end")
    assert job.finish() == 0
    assert "[worker 0] the end" in job.lines


def test_output_that_comes_fast_is_neither_lost_nor_mixed(standin):
    job = standin("seq", "-f", "%g" + "x" * 100, "1", "5000")
    assert job.finish() == 0
    for rank in (0, 1):
        mine = [line for line in job.lines if line.startswith(f"[worker {rank}]")]
        assert mine == [f"[worker {rank}] {i}" + "x" * 100 for i in range(1, 5001)]


def test_a_reader_who_has_gone_ends_the_job(standin):
    job = standin("sh", "-c", "while :; do echo more; done")
    job.wait_for("more")
    job.hang_up()
    assert job.popen.wait(30) != 0
    job.assert_nothing_left()


def test_standard_input_is_empty(standin):
    job = standin("cat")
    assert job.finish() == 0


def test_the_watchdog_sweeps_nobody_else(standin):
    other = subprocess.Popen(["sleep", "100"])
    try:
        job = standin(*FOREVER)
        job.pid_of("worker 0")
        job.popen.kill()
        job.finish()
        job.assert_nothing_left()
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()
