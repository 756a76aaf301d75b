"""Settings come from the environment, and a wrong one says which, what it was and what was wanted."""

import dataclasses

import pytest

from psdist.errors import ConfigError
from psdist.settings import Settings


def test_an_empty_environment_gives_the_defaults() -> None:
    settings = Settings.read({})
    assert settings == Settings()
    assert settings.role == "worker"
    assert settings.rank is None
    assert not settings.insecure


def test_a_dmlc_environment_describes_a_cluster() -> None:
    settings = Settings.read(
        {
            "DMLC_ROLE": "worker",
            "DMLC_PS_ROOT_URI": "127.0.0.1",
            "DMLC_PS_ROOT_PORT": "9091",
            "DMLC_NUM_WORKER": "2",
            "DMLC_NUM_SERVER": "1",
            "DMLC_WORKER_ID": "1",
        }
    ).require_cluster()
    assert (settings.root_uri, settings.root_port) == ("127.0.0.1", 9091)
    assert (settings.num_workers, settings.num_servers, settings.rank) == (2, 1, 1)


def test_psdist_rank_goes_before_dmlc_worker_id() -> None:
    assert Settings.read({"DMLC_WORKER_ID": "1", "PSDIST_RANK": "0"}).rank == 0


def test_a_server_takes_no_notice_of_a_workers_id() -> None:
    assert Settings.read({"DMLC_ROLE": "server", "DMLC_WORKER_ID": "1"}).rank is None


@pytest.mark.parametrize(
    ("variable", "value", "wanted"),
    [
        ("DMLC_ROLE", "master", "scheduler, server or worker"),
        ("DMLC_PS_ROOT_PORT", "0x10", "a port from 1 to 65535"),
        ("DMLC_NUM_WORKER", "0", "a whole number from 1 to 65535"),
        ("PSDIST_REQUEST_TIMEOUT", "inf", "a number of seconds above 0"),
        ("PSDIST_REQUEST_TIMEOUT", "nan", "a number of seconds above 0"),
        ("PSDIST_SLICE_BYTES", "5000", "a multiple of 64"),
        ("PSDIST_INSECURE", "yes", "0 or 1"),
        ("PSDIST_ADVERTISE", "10.0.0.7", "HOST:PORT, such as 10.0.0.7:9100"),
        ("PSDIST_ADVERTISE", "fd00::7:9100", "HOST:PORT, such as 10.0.0.7:9100 or [fd00::7]:9100"),
    ],
)
def test_a_wrong_value_names_variable_value_and_what_was_wanted(
    variable: str, value: str, wanted: str
) -> None:
    with pytest.raises(ConfigError) as e:
        Settings.read({variable: value})
    assert str(e.value).startswith(f"{variable}={value!r}: wanted {wanted}")


def test_a_missing_cluster_names_every_missing_variable() -> None:
    with pytest.raises(ConfigError, match=r"^DMLC_PS_ROOT_URI and DMLC_PS_ROOT_PORT not set: a worker of"):
        Settings.read({}).require_root()


def test_one_late_heartbeat_is_not_a_death() -> None:
    with pytest.raises(ConfigError, match="at least twice PSDIST_HEARTBEAT=5"):
        Settings(heartbeat_s=5.0, dead_after_s=8.0)


def test_every_setting_is_documented_under_a_name_of_its_own() -> None:
    table = Settings.table()
    assert len({variable for variable, _, _ in table}) == len(table) == len(dataclasses.fields(Settings))
    assert all(meaning for _, _, meaning in table)
