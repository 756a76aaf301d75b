"""What the launcher makes of the scheduler's words, and a scheduler that says none."""

import pytest
from psdist_launch.cluster import Member
from psdist_launch.contact import SchedulerContact, ask_status, where
from psdist_launch.local import free_port

from psdist.errors import ConfigError, RequestTimeout
from psdist.wire import messages as m

W0, W1 = Member("worker", 0), Member("worker", 1)


def report(state="running", **steps):
    members = tuple(
        m.MemberStatus(name.rstrip("01"), int(name[-1]), 0, "", "alive", step, 0.1, 0, 0)
        for name, step in steps.items()
    )
    return m.StatusReport(1, "j", state, "", 1, 5.0, 2, 1, members)


def test_a_worker_s_own_step_is_where_it_was():
    assert where(report(server0=9, worker0=7, worker1=8), W0) == "in step 7"


def test_the_job_is_where_its_furthest_member_is():
    assert where(report(server0=9, worker0=7, worker1=8), None) == "in step 9"
    assert where(report(server0=9, worker0=7), Member("server", 0)) == "in step 9"
    assert where(report(worker0=7), W1) == "in step 7"


def test_an_abort_may_know_a_later_step_than_the_last_report():
    assert where(report(worker0=7), W0, at_least=12) == "in step 12"


def test_before_the_job_runs_there_is_no_step():
    assert where(report("joining"), W0) == "while the job was joining"
    assert where(None, W0) == "before the scheduler answered"


def test_a_missing_scheduler_is_one_clear_error_in_time():
    port = free_port("127.0.0.1")
    with pytest.raises(RequestTimeout) as error:
        ask_status("127.0.0.1", port, "j", timeout_s=0.2)
    said = f"no scheduler answered at 127.0.0.1:{port} within 0.2 s; "
    assert str(error.value) == said + "is the job running, and is this its address?"


def test_telling_a_dead_scheduler_waits_for_nothing():
    with SchedulerContact("127.0.0.1", free_port("127.0.0.1"), "j") as contact:
        for rank in range(1000):
            contact.lost(Member("worker", rank), "exited")
        contact.poll(0.0)
        assert contact.blamed is None
    contact.close()


def test_keys_that_others_can_read_are_refused(tmp_path):
    file = tmp_path / "keys"
    file.write_text("metadata\n")
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="others can read these keys; chmod 600 it"):
        SchedulerContact("h", 1, "j", str(file))
    file.chmod(0o600)
    with pytest.raises(ConfigError, match="cannot read the job's keys"):
        SchedulerContact("h", 1, "j", str(file))
