"""Lines and bars, told without a process."""

import io

import pytest
from psdist_launch.cluster import Member
from psdist_launch.logs import Lines, Screen

W0, W1 = Member("worker", 0), Member("worker", 1)


def test_lines_come_out_whole_however_they_come_in():
    lines = Lines()
    assert lines.feed(b"one\ntw") == [b"one"]
    assert lines.feed(b"o\n\nthree") == [b"two", b""]
    assert lines.end() == [b"three"]
    assert lines.end() == []


def test_a_windows_line_end_is_a_line_end():
    assert Lines().feed(b"one\r\ntwo\r\n") == [b"one", b"two"]


def test_a_bar_is_what_follows_the_last_carriage_return():
    lines = Lines()
    assert lines.feed(b"\r10%") == []
    assert lines.bar == b"10%"
    lines.feed(b"\r20%\r")
    assert lines.bar == b"20%"
    assert lines.feed(b"\r100%\ndone") == [b"100%"]
    assert lines.bar is None


def test_a_bar_that_erases_the_rest_of_its_line_does_so_only_on_its_own_terminal():
    assert Lines().feed(b"\r10%\x1b[K\r100%\x1b[K\n") == [b"100%"]


@pytest.mark.parametrize("piece", [b"x" * 10_000, b"\r" + b"x" * 10_000])
def test_a_line_without_an_end_fills_no_memory(piece):
    lines = Lines()
    for _ in range(100):
        lines.feed(piece)
    assert sum(map(len, lines.end())) < 100_000


def screen(width=None, colour=False):
    out, err = io.BytesIO(), io.BytesIO()
    return Screen(out, err, colour=colour, width=width), out, err


def test_lines_carry_the_name_of_who_printed_them_on_the_stream_it_was_printed_to():
    view, out, err = screen()
    view.lines(W1, "out", [b"hello", b"again"])
    view.lines(Member("scheduler"), "err", [b"oh"])
    assert out.getvalue() == b"[worker 1] hello\n[worker 1] again\n"
    assert err.getvalue() == b"[scheduler] oh\n"


def test_a_stream_that_takes_only_a_part_of_a_write_gets_the_rest():
    class Slow(io.BytesIO):
        def write(self, data):
            return super().write(bytes(data[:7]))

    out = Slow()
    Screen(out, io.BytesIO(), colour=False, width=None).lines(W0, "out", [b"x" * 100])
    assert out.getvalue() == b"[worker 0] " + b"x" * 100 + b"\n"


def test_a_pipe_sees_no_bar_and_no_colour():
    view, out, err = screen()
    view.bar(W0, b"10%")
    view.lines(W0, "err", [b"100%"])
    assert (out.getvalue(), err.getvalue()) == (b"", b"[worker 0] 100%\n")


def test_on_a_terminal_the_bar_of_worker_0_stays_at_the_foot_while_lines_scroll_above_it():
    view, _, err = screen(width=80)
    view.bar(W0, b"10%")
    view.lines(W1, "err", [b"hello"])
    view.bar(W0, b"20%")
    view.bar(W0, None)
    assert err.getvalue() == (
        b"\r\x1b[K[worker 0] 10%"
        b"\r\x1b[K[worker 1] hello\n\r\x1b[K[worker 0] 10%"
        b"\r\x1b[K[worker 0] 20%"
        b"\r\x1b[K"
    )


def test_no_other_bar_is_drawn():
    view, _, err = screen(width=80)
    view.bar(W1, b"10%")
    assert err.getvalue() == b""


def test_a_bar_is_cut_to_the_terminal_so_that_it_never_wraps():
    view, _, err = screen(width=40)
    view.bar(W0, b"#" * 200)
    assert len(err.getvalue()) - len(b"\r\x1b[K") < 40


def test_colours_mark_only_the_name():
    view, out, _ = screen(width=80, colour=True)
    view.lines(W0, "out", [b"text"])
    assert out.getvalue().endswith(b"[worker 0] \x1b[0mtext\n")
