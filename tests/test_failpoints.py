"""Failpoints: whom an order is for, when it is carried out, and what a wrong one is told."""

import subprocess
import sys

import pytest

from psdist.errors import ConfigError
from psdist.failpoints import open_failpoints
from psdist.settings import Settings


class Push:
    """A message, for the name."""


def points(text, role="server", rank=1, life=0):
    settings = Settings(role=role, wanted_rank=rank, incarnation=life, failpoint=text)
    return open_failpoints(settings)


def test_without_an_order_there_is_no_object():
    assert points("") is None


def test_an_order_is_for_one_role_one_rank_and_the_first_life():
    order = "server1.receive-Push=error@2"
    assert points(order) is not None
    assert points("server.receive-Push=error") is not None
    assert points(order, rank=0) is None
    assert points(order, role="worker") is None
    assert points(order, life=1) is None
    assert points(f"{order}/each", life=1) is not None


def test_it_is_carried_out_at_its_count_and_says_so_first(capfd):
    mine = points("server1.receive-Push=error@2, server1.sent-Push=error")
    mine.at("receive", Push())
    mine.at("send", Push())
    mine.reached("other")
    with pytest.raises(RuntimeError, match=r"failpoint server1\.receive-Push=error@2"):
        mine.at("receive", Push())
    mine.at("receive", Push())
    assert "failpoint server1.receive-Push=error@2 is reached by pid" in capfd.readouterr().err


@pytest.mark.parametrize(("action", "code"), [("kill", -9), ("kill+1", -9), ("exit:7", 7), ("sleep:0.01", 0)])
def test_a_process_ends_as_it_was_told_to(action, code):
    script = (
        "import sys, threading; from psdist.failpoints import open_failpoints; from psdist.settings import Settings\n"
        "open_failpoints(Settings(failpoint=sys.argv[1])).reached('here')\n"
        "[one.join() for one in threading.enumerate() if one is not threading.current_thread()]"
    )
    assert subprocess.run([sys.executable, "-c", script, f"worker.here={action}"]).returncode == code


@pytest.mark.parametrize(
    "wrong", ["receive-Push=kill", "server.receive-Push=die", "server.receive-Push=kill@x"]
)
def test_an_order_that_cannot_be_read_is_refused(wrong):
    with pytest.raises(
        ConfigError, match=r"wanted POINT=ACTION@COUNT, such as server1\.receive-Push=kill@17"
    ):
        points(f"server1.sent-Done=kill@1,{wrong}")
