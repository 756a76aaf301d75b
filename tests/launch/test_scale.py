"""Servers are added to a real job and taken away while it trains: it ends with the bits of a run without that."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

GROW = ("python", str(Path(__file__).with_name("grow.py")))


def scale(num: int, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "psdist_launch.cli", "scale", "--servers", str(num), *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def digest_of(job) -> str:
    assert job.finish() == 0, job.lines
    (digest,) = {line.split()[-1] for line in job.lines if "digest" in line}
    return digest


@pytest.mark.parametrize("replicas", [0, 1])
def test_a_job_whose_servers_become_more_and_fewer_ends_with_the_bits_of_one_that_was_left_alone(
    launch, tmp_path, replicas
):
    options = ("-n", "2", "-s", "2", "--max-servers", "8", "--replicas", str(replicas))
    (tmp_path / "go").touch()
    alone = digest_of(launch("run", *options, "--", *GROW, str(tmp_path / "go")))
    job = launch("run", *options, "--job", "grows", "--", *GROW, str(tmp_path / "stop"))
    job.wait_for("is training")
    few = 1 + replicas
    for num in (few + 2, few, few + 1, few):
        done = scale(num, "--job", "grows")
        assert done.returncode == 0, done.stderr
        assert re.match(rf"job grows: 8 shards on {num} servers \(server 0: \d+", done.stdout), done.stdout
    (tmp_path / "stop").touch()
    assert digest_of(job) == alone
    job.assert_nothing_left()


def test_a_number_of_servers_that_cannot_be_is_refused_in_words(launch, tmp_path):
    job = launch(
        "run",
        "-n",
        "1",
        "-s",
        "1",
        "--max-servers",
        "4",
        "--job",
        "small",
        "--",
        *GROW,
        str(tmp_path / "stop"),
    )
    job.wait_for("is training")
    done = scale(5, "--job", "small")
    assert done.returncode == 2
    assert "job 'small' has 4 shards, so that 1 to 4 servers have something to do" in done.stderr
    (tmp_path / "stop").touch()
    assert job.finish() == 0


def test_a_server_that_came_and_serves_nothing_yet_may_die(launch, tmp_path):
    env = {"PSDIST_FAILPOINT": "server1.receive-CopySettings=kill@1"}
    job = launch(
        "run",
        "-n",
        "1",
        "-s",
        "1",
        "--max-servers",
        "4",
        "--job",
        "late",
        "--",
        *GROW,
        str(tmp_path / "stop"),
        env=env,
    )
    job.wait_for("is training")
    done = scale(2, "--job", "late")
    assert done.returncode == 0, (done.stderr, job.lines)
    (tmp_path / "stop").touch()
    assert job.finish() == 0, job.lines
    assert any("server 1 was killed by SIGKILL; starting it again" in line for line in job.lines)
