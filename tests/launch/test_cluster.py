"""What a job consists of, without starting one."""

import sys

import pytest
from psdist_launch.cluster import Cluster, Member, is_loopback, resolve_command

from psdist.errors import ConfigError
from psdist.settings import Settings


def cluster(**changes):
    standard = {
        "command": ("train",),
        "num_workers": 2,
        "num_servers": 1,
        "host": "127.0.0.1",
        "port": 9000,
        "job": "j",
        "mark": "m",
    }
    return Cluster(**{**standard, **changes})


def test_members_start_from_the_scheduler_outwards():
    assert [str(member) for member in cluster().members()] == [
        "scheduler",
        "server 0",
        "worker 0",
        "worker 1",
    ]


def test_what_the_launcher_sets_is_what_the_settings_read():
    for member in cluster().members():
        settings = Settings.read(cluster().environ(member, {}))
        assert (settings.role, settings.rank) == (member.role, member.rank)
        assert (settings.root_uri, settings.root_port) == ("127.0.0.1", 9000)
        assert (settings.num_workers, settings.num_servers, settings.job) == (2, 1, "j")
        assert (settings.key_file, settings.insecure) == ("", False)


def test_keys_and_insecurity_are_handed_on():
    settings = Settings.read(cluster(key_file="/k", insecure=True).environ(Member("server", 0), {}))
    assert (settings.key_file, settings.insecure) == ("/k", True)


def test_one_blas_thread_is_the_default_and_the_user_goes_before_it():
    env = cluster().environ(Member("worker", 0), {"OMP_NUM_THREADS": "2"})
    assert (env["OMP_NUM_THREADS"], env["OPENBLAS_NUM_THREADS"]) == ("2", "1")


def test_the_job_s_variables_go_before_the_user_s():
    env = cluster().environ(Member("server", 0), {"DMLC_ROLE": "worker", "DMLC_WORKER_ID": "7", "HOME": "/h"})
    assert (env["DMLC_ROLE"], env["HOME"]) == ("server", "/h")
    assert "DMLC_WORKER_ID" not in env


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"num_workers": 0}, "-n 0: the number of workers is 1 or more"),
        ({"num_servers": -1}, "-s -1: the number of servers is 1 or more"),
        (
            {"host": "0.0.0.0"},
            "--host 0.0.0.0: wanted an address of this machine, by which members reach each other",
        ),
        ({"port": 70000}, "--port 70000: a port is a number from 1 to 65535"),
        ({"job": "../x"}, "--job '../x': wanted up to 64 letters, digits, '.', '_' or '-'"),
    ],
)
def test_a_wrong_description_is_refused(change, said):
    with pytest.raises(ConfigError) as error:
        cluster(**change)
    assert str(error.value) == said


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("h", False),
    ],
)
def test_loopback_is_what_only_this_machine_reaches(host, loopback):
    assert is_loopback(host) == loopback


def test_python_is_the_one_that_psdist_is_installed_in():
    assert resolve_command(["python", "x.py"]) == (sys.executable, "x.py")


def test_a_command_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"^cannot run 'no-such-program': no such command$"):
        resolve_command(["no-such-program"])
    script = tmp_path / "train.py"
    script.touch()
    with pytest.raises(ConfigError, match=r"it is not executable; write: -- python .*train\.py$"):
        resolve_command([str(script)])
