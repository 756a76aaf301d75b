"""`psdist plan`: the rules in virtual time give the times that links and threads allow."""

from dataclasses import replace

import pytest
from psdist_launch.cli import main
from psdist_launch.plan.command import rate_of
from psdist_launch.plan.costs import SHIPPED, THREADS, VERBS, Costs, Line, Way
from psdist_launch.plan.world import Job, play

from psdist.errors import ConfigError

MB = 1 << 20
KEYS = (MB // 4,) * 16  # 16 MB
FREE = Line(0.0, 0.0)
NOTHING = Way({verb: dict.fromkeys(THREADS, FREE) for verb in VERBS}, dict.fromkeys(THREADS, 0.0), 0.0)
LINKS_ONLY = Costs("nowhere", {"TCP": NOTHING, "memory": NOTHING}, 0.0, {"": 0.0, "sgd": 0.0})
JOB = Job(num_workers=2, num_servers=1, keys=KEYS, link_rate=100 * MB)


def test_where_only_links_cost_the_server_s_link_is_the_step():
    result = play(JOB, LINKS_ONLY)
    # 10 ms for the first slice to leave a worker, 32 slices of 10 ms into the server, and the way back of the last two
    assert result.step_s == pytest.approx(0.01 + 0.32 + 0.02 + 0.01, rel=0.01)
    assert result.busy["servers' links, in"] == pytest.approx(0.32 / 0.36, rel=0.03)


def test_each_server_more_takes_its_share_of_the_bytes():
    two = play(replace(JOB, num_servers=2), LINKS_ONLY).step_s
    assert two == pytest.approx(play(JOB, LINKS_ONLY).step_s / 2, rel=0.15)


def test_one_server_stands_for_many_alike():
    job = replace(JOB, num_workers=3, keys=(64 * MB // 4,), num_servers=4)
    line = Line(20e-6, 1e-10)
    way = replace(NOTHING, verbs={verb: dict.fromkeys(THREADS, line) for verb in VERBS}, wake_s=5e-6)
    costs = replace(LINKS_ONLY, ways={"TCP": way}, reduce_byte=1e-10)
    all_played = play(job, costs).step_s
    from psdist_launch.plan import world

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world, "_PLAYED", 1)
        one_played = play(job, costs).step_s
    assert one_played == pytest.approx(all_played, rel=0.15)


def test_adding_costs_what_the_rules_add():
    costs = replace(LINKS_ONLY, reduce_byte=1e-9)
    result = play(replace(JOB, num_workers=4, link_rate=1e18), costs)
    assert result.step_s == pytest.approx(
        3 * 16 * MB * 1e-9, rel=0.01
    )  # the first of four is not added to anything
    assert result.busy["servers' loops: adding"] == pytest.approx(1.0, rel=0.01)


def test_updating_costs_once_a_round_whatever_the_number_of_workers():
    costs = replace(LINKS_ONLY, update_byte={"": 0.0, "sgd": 1e-9})
    for num in (1, 3):
        result = play(replace(JOB, num_workers=num, link_rate=1e18, optimizer="sgd"), costs)
        assert result.step_s == pytest.approx(16 * MB * 1e-9, rel=0.01)


def test_overlap_hides_what_fits_under_backward():
    job = replace(JOB, compute_s=1.0, overlaps=False)
    apart = play(job, LINKS_ONLY).step_s
    hidden = play(replace(job, overlaps=True), LINKS_ONLY).step_s
    assert apart == pytest.approx(1.32, rel=0.05)
    assert (
        1.16 < hidden < 1.25
    )  # a worker's pull at the end is not hidden; the other's may be under its computing


def test_the_same_plan_gives_the_same_prediction():
    costs = Costs.read(SHIPPED)
    job = replace(JOB, num_workers=5, num_servers=2, optimizer="adam", compute_s=0.01, overlaps=True)
    assert play(job, costs) == play(job, costs)


def test_the_rules_are_as_before_when_a_plan_is_done():
    from psdist_server.rounds import Round

    before = Round.add_up
    play(JOB, LINKS_ONLY)
    assert Round.add_up is before


def test_the_command_tells_step_efficiency_and_bottleneck(capsys):
    argv = ["plan", "--workers", "20", "--servers", "8", "--link", "1gbit", "--model", "2e6", "--keys", "10"]
    assert main([*argv, "--compute", "0.05"]) == 0
    told = capsys.readouterr().out
    assert "20 workers, 8 servers, 2,000,000 parameters (8 MB) in 10 keys, links of 1 Gbit/s" in told
    assert "efficiency is" in told
    assert "bottleneck   servers' links" in told


@pytest.mark.parametrize(("text", "rate"), [("25gbit", 25e9 / 8), ("100 Mbit/s", 12.5e6), ("3GB", 3e9)])
def test_rates_are_read(text, rate):
    assert rate_of(text) == pytest.approx(rate)


def test_a_rate_that_is_none_is_refused():
    with pytest.raises(ConfigError, match="--link 'fast': wanted a rate, such as 25gbit, 100mbit or 3GB"):
        rate_of("fast")


def test_a_file_that_is_no_table_of_costs_is_refused(tmp_path):
    (tmp_path / "costs.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"is no table of costs .*; --calibrate FILE makes one"):
        Costs.read(tmp_path / "costs.json")
