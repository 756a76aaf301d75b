"""The command line: what it refuses, each in one line with exit code 2, and what it makes."""

import socket
import stat
import sys

import pytest
import zmq.auth
from psdist_launch.cli import main

import psdist


def refusal(capsys, *args):
    """The one line that `psdist ARGS` says when it exits 2."""
    try:
        code = main(args)
    except SystemExit as e:
        code = e.code
    out, err = capsys.readouterr()
    assert (code, out, err.count("\n")) == (2, "", 1), err
    return err.strip()


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["run"], "psdist run: no command; it comes after --: psdist run -n 2 -s 1 -- python train.py"),
        (["run", "--"], "psdist run: no command; it comes after --: psdist run -n 2 -s 1 -- python train.py"),
        (
            ["run", "python", "x.py"],
            "psdist run: no command; it comes after --: psdist run -n 2 -s 1 -- python",
        ),
        (["run", "--fast", "--", "true"], "psdist: unrecognized arguments: --fast; see psdist --help"),
        (["run", "--", "no-such-program"], "psdist run: cannot run 'no-such-program': no such command"),
        (["run", "-n", "0", "--", "true"], "psdist run: -n 0: the number of workers is 1 or more"),
        (["run", "-s", "0", "--", "true"], "psdist run: -s 0: the number of servers is 1 or more"),
        (["run", "-n", "two", "--", "true"], "psdist run: argument -n/--workers: invalid int value: 'two'"),
        (["run", "--port", "0", "--", "true"], "psdist run: --port 0: a port is a number from 1 to 65535"),
        (["run", "--grace", "0", "--", "true"], "psdist run: --grace 0: wanted seconds above 0"),
        (["run", "--host", "no.such.host.invalid", "--", "true"], "no.such.host.invalid: no such host"),
        (
            ["run", "--host", "192.0.2.1", "--", "true"],
            "192.0.2.1: cannot listen there: Cannot assign requested",
        ),
        (["run", "--job", "a b", "--", "true"], "psdist run: --job 'a b': wanted up to 64 letters"),
        (["status", "--host", "h"], "psdist status: --host and --port belong together"),
        (["status", "--", "x"], "psdist status: takes no command after --, got 'x'"),
        (["keygen", "/no/such/folder/keys"], "cannot write /no/such/folder/keys: No such file or directory"),
        (["walk"], "psdist: argument COMMAND: invalid choice: 'walk'"),
        ([], "psdist: the following arguments are required: COMMAND"),
    ],
)
def test_a_wrong_command_line_is_one_clear_line(capsys, args, said):
    assert said in refusal(capsys, *args)


def test_a_port_in_use_is_refused_before_anything_starts(capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = refusal(capsys, "run", "--port", str(port), "--", "true")
    wanted = f"port {port} of 127.0.0.1: Address already in use; choose another --port, or leave it out"
    assert said == f"psdist run: {wanted}"


def test_status_says_that_nothing_runs(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert "no job of yours runs on this machine" in refusal(capsys, "status")
    assert "no job 'x' of yours runs on this machine" in refusal(capsys, "status", "--job", "x")


def test_a_runtime_folder_that_others_can_enter_is_refused(capsys, monkeypatch, tmp_path):
    (tmp_path / "psdist").mkdir(mode=0o755)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert "must be a folder of yours with mode 0700" in refusal(capsys, "status")


def test_keygen_writes_a_pair_that_only_its_owner_reads_and_overwrites_none(capsys, tmp_path):
    file = tmp_path / "keys"
    assert main(["keygen", str(file)]) == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert f"PSDIST_KEY_FILE={file}" in capsys.readouterr().out
    public, secret = zmq.auth.load_certificate(file)
    assert secret is not None
    assert zmq.curve_public(secret) == public
    assert "exists; keys are never overwritten" in refusal(capsys, "keygen", str(file))


def test_version_names_what_it_stands_on(capsys):
    assert main(["version"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"psdist {psdist.__version__} (Python {sys.version.split()[0]}, NumPy ")


def test_the_tool_for_snapshots_has_help_of_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["snapshot", "--help"]) == 0
    assert "verify" in capfd.readouterr().out
