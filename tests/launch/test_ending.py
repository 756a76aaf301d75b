"""The rules of ending, told without a process."""

import signal

from psdist_launch.cluster import Member
from psdist_launch.ending import Ending, Exit, Kill

SCHEDULER, SERVER = Member("scheduler"), Member("server", 0)
W0, W1 = Member("worker", 0), Member("worker", 1)
EVERYONE = [SCHEDULER, SERVER, W0, W1]


def job():
    return Ending(EVERYONE, grace_s=5, kill_s=3)


def end(rules, member, code, at, words=""):
    return rules.exited(Exit(member, 100, code, at, words))


def kills(number, *members):
    return [Kill(member, number) for member in members]


def test_when_all_workers_exit_0_the_rest_is_told_to_end_at_once():
    rules = job()
    assert not end(rules, W0, 0, 10)
    assert rules.due(10) == []
    assert not end(rules, W1, 0, 11)
    assert rules.due(11) == kills(signal.SIGTERM, SCHEDULER, SERVER)
    assert not end(rules, SCHEDULER, 0, 11.1)
    assert not end(rules, SERVER, -signal.SIGTERM, 11.2)
    assert rules.due(99) == []
    assert (rules.running, rules.exit_code(), rules.first_cause()) == (set(), 0, None)


def test_a_server_that_ignores_the_good_end_is_killed_after_ten_seconds_and_that_is_no_failure():
    rules = job()
    end(rules, W0, 0, 0)
    end(rules, W1, 0, 0)
    end(rules, SCHEDULER, 0, 0)
    assert rules.due(0) == kills(signal.SIGTERM, SERVER)
    assert rules.wake_at() == 10
    assert rules.due(9.9) == []
    assert rules.due(10) == kills(signal.SIGKILL, SERVER)
    assert not end(rules, SERVER, -signal.SIGKILL, 10)
    assert rules.exit_code() == 0


def test_a_loss_that_the_job_survives_ends_nothing_until_nobody_of_that_role_is_left():
    rules = Ending(EVERYONE, grace_s=5, kill_s=3, survives=lambda member: member.role == "worker")
    assert end(rules, W0, -9, 1)
    assert (rules.failures, rules.due(2), rules.wake_at()) == ([], [], None)
    rules.started_again(W0)
    assert end(rules, W1, -9, 3)
    assert rules.failures == []
    assert end(rules, W0, 1, 4)
    assert [exit.member for exit in rules.failures] == [W0]
    assert rules.wake_at() == 9


def test_a_loss_that_was_not_survived_is_the_first_cause():
    rules = Ending(EVERYONE, grace_s=5, kill_s=3, survives=lambda member: member.role == "scheduler")
    assert end(rules, SCHEDULER, -9, 1)
    assert end(rules, W0, 1, 70, "psdist.errors.PeerLost: the scheduler has been silent")
    assert rules.first_cause().member == W0
    assert rules.first_cause(SCHEDULER).member == SCHEDULER
    assert rules.exit_code(SCHEDULER) == 137


def test_a_server_that_fails_while_ending_well_fails_the_job():
    rules = job()
    end(rules, W0, 0, 0)
    end(rules, W1, 0, 0)
    rules.due(0)
    assert end(rules, SERVER, 7, 1)
    assert rules.exit_code() == 7


def test_after_a_failure_the_others_get_grace_then_sigterm_then_sigkill():
    rules = job()
    assert end(rules, W1, 3, 100)
    assert rules.due(100) == []
    assert rules.wake_at() == 105
    assert rules.due(105) == kills(signal.SIGTERM, SCHEDULER, SERVER, W0)
    assert rules.wake_at() == 108
    assert rules.due(107) == []
    assert rules.due(108) == kills(signal.SIGKILL, SCHEDULER, SERVER, W0)
    for member in (SCHEDULER, SERVER, W0):
        assert not end(rules, member, -signal.SIGKILL, 108)
    assert rules.exit_code() == 3


def test_when_the_last_worker_has_gone_nobody_waits_for_the_grace_to_pass():
    rules = job()
    end(rules, W1, 3, 100)
    end(rules, W0, 1, 101, "psdist.errors.PeerLost: worker 1 is gone")
    assert rules.due(101) == kills(signal.SIGTERM, SCHEDULER, SERVER)


def test_the_first_failure_is_the_cause():
    rules = job()
    end(rules, W1, 3, 100)
    end(rules, SERVER, -signal.SIGSEGV, 103)
    assert rules.first_cause().member == W1
    assert rules.exit_code() == 3


def test_who_says_that_a_peer_was_lost_is_no_cause_even_if_seen_first():
    rules = job()
    end(rules, W0, 1, 100, "psdist.errors.PeerLost: server 0 is gone")
    end(rules, SERVER, 9, 102)
    assert rules.first_cause().member == SERVER


def test_being_killed_in_the_same_instant_comes_before_exiting():
    rules = job()
    end(rules, W0, 1, 100.0, "KeyError: 'x'")
    end(rules, SERVER, -signal.SIGKILL, 100.1)
    assert rules.first_cause().member == SERVER
    assert rules.exit_code() == 137


def test_whom_the_scheduler_blames_is_the_cause_among_equals():
    rules = job()
    end(rules, W0, 1, 100, "ValueError")
    end(rules, W1, 1, 100, "ValueError")
    assert rules.first_cause(W1).member == W1
    assert rules.first_cause().member == W0


def test_a_server_that_ends_because_the_job_does_is_a_symptom_however_quick_it_is():
    rules = job()
    end(rules, SERVER, 1, 100, "ERROR the job ended: worker 1 failed in step 20: ValueError: mine")
    end(rules, W1, 1, 100.1, "ValueError: mine")
    assert rules.first_cause().member == W1


def test_symptoms_alone_still_make_a_cause():
    rules = job()
    end(rules, W0, 1, 100, "psdist.errors.PeerLost: server 0 was silent for 8 s")
    assert rules.first_cause(SERVER).member == W0
    assert rules.exit_code() == 1


def test_a_signal_is_passed_to_the_workers_and_names_the_exit_code():
    rules = job()
    rules.interrupted(signal.SIGINT, 50)
    assert rules.due(50) == kills(signal.SIGINT, W0, W1)
    assert not end(rules, W0, 1, 51)
    assert not end(rules, W1, -signal.SIGINT, 51)
    assert rules.due(51) == kills(signal.SIGTERM, SCHEDULER, SERVER)
    assert rules.exit_code() == 130
    assert rules.first_cause() is None


def test_a_second_signal_kills_at_once():
    rules = job()
    rules.interrupted(signal.SIGINT, 50)
    rules.due(50)
    rules.interrupted(signal.SIGINT, 50.2)
    assert rules.due(50.2) == kills(signal.SIGKILL, *EVERYONE)


def test_a_signal_after_a_failure_hurries_the_end_and_leaves_the_cause():
    rules = job()
    end(rules, W0, 4, 100)
    rules.interrupted(signal.SIGTERM, 101)
    assert rules.due(101) == kills(signal.SIGKILL, SCHEDULER, SERVER, W1)
    assert rules.exit_code() == 4


def test_everything_ends_within_the_grace_and_the_kill_time():
    rules = job()
    rules.interrupted(signal.SIGTERM, 0)
    assert rules.due(0) == kills(signal.SIGTERM, W0, W1)
    assert rules.due(5) == kills(signal.SIGTERM, *EVERYONE)
    assert rules.due(8) == kills(signal.SIGKILL, *EVERYONE)
