"""The project as a newcomer meets it: the README's code, the cost of an import, the contents of the wheel."""

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

CHECKOUT = Path(__file__).resolve().parents[1]
PACKAGES = {
    "psdist": "psdist",
    "psdist_server": "server/psdist_server",
    "psdist_worker": "worker/psdist_worker",
    "psdist_launch": "launch/psdist_launch",
}


def readme_examples() -> list[str]:
    return re.findall(
        r"^```python\n(.*?)^```", (CHECKOUT / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )


@pytest.mark.parametrize("code", readme_examples())
def test_the_readme_s_code_runs_as_it_stands_there(code, tmp_path):
    """In a process of its own, from another folder; `# value` behind a `print` is what it prints."""
    wanted = re.findall(r"^print\(.*\)\s*# (.*)$", code, re.MULTILINE)
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == wanted


def test_the_readme_s_first_screen_has_the_example_and_the_two_commands():
    screen = (CHECKOUT / "README.md").read_text().splitlines()[:60]
    assert len(readme_examples()) >= 1
    assert len([line for line in readme_examples()[0].splitlines() if line.strip()]) <= 16
    for command in ("make demo", "make test"):
        assert any(line.strip().startswith(command) for line in screen)


@pytest.mark.parametrize(("parts", "limit_s"), [("", 0.060), ("psdist.nd; psdist.sym", 0.080)])
def test_importing_psdist_costs_little_more_than_numpy_and_opens_no_socket(parts, limit_s, tmp_path):
    """CPU time of the import at its least disturbed, in fresh processes taken in turn."""
    env = {**os.environ, "PYTHONPYCACHEPREFIX": str(tmp_path)}
    env.pop("PYTHONDONTWRITEBYTECODE", None)  # else every import compiles

    def cost(statement: str) -> float:
        script = f"import sys, time; t = time.process_time(); {statement}; print(time.process_time() - t)"
        script += "; assert 'zmq' not in sys.modules"
        ran = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, env=env)
        return float(ran.stdout)

    ours = f"import numpy, psdist; {parts or None}"
    for statement in ("import numpy", ours):
        cost(statement)  # compiles what is not compiled yet
    costs = [(cost(ours), cost("import numpy")) for _ in range(7)]
    with_us, numpy_alone = (min(column) for column in zip(*costs, strict=True))
    assert with_us - numpy_alone < limit_s


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    return next(WheelBuilder(str(CHECKOUT)).build(directory=str(folder), versions=["standard"]))


def test_the_wheel_has_every_file_of_the_packages(wheel):
    shipped = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    ours = {
        f"{package}/{path.relative_to(CHECKOUT / folder).as_posix()}"
        for package, folder in PACKAGES.items()
        for path in (CHECKOUT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert shipped == ours | {"psdist_launch/_demo/train_digits.py"}


def test_every_package_says_that_it_is_typed(wheel):
    shipped = zipfile.ZipFile(wheel).namelist()
    assert {f"{package}/py.typed" for package in PACKAGES} <= set(shipped)


def test_the_changelog_has_an_entry_for_this_version():
    version = re.search(r'__version__ = "(.*)"', (CHECKOUT / "psdist" / "__init__.py").read_text())
    assert version is not None
    assert f"## {version.group(1)}" in (CHECKOUT / "CHANGELOG.md").read_text()


def test_the_index_of_the_documentation_lists_every_page():
    docs = CHECKOUT / "docs"
    index = (docs / "index.md").read_text()
    for page in sorted(docs.rglob("*.md")):
        assert page.name == "index.md" or f"({page.relative_to(docs).as_posix()})" in index, page
