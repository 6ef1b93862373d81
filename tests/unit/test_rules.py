"""The rules of tests/conftest.py, tried on a tree of their own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"
LEFT_OUT = {
    "a mark": "import pytest\n@pytest.mark.skip(reason='tired')\ndef test_x() -> None: ...\n",
    "a call": "import pytest\ndef test_x() -> None: pytest.skip('tired')\n",
    "a module": "import pytest\npytest.skip('tired', allow_module_level=True)\n",
    "an import": "import pytest\npytest.importorskip('no_such_module')\ndef test_x() -> None: ...\n",
}


def pytest_in(tree: Path, test: str, ci: str) -> subprocess.CompletedProcess[str]:
    (tree / "conftest.py").write_text(CONFTEST.read_text(encoding="utf-8"))
    (tree / "test_x.py").write_text(test)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_x.py"]
    return subprocess.run(
        command, cwd=tree, env={**os.environ, "CI": ci}, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize("test", LEFT_OUT.values(), ids=LEFT_OUT)
def test_what_is_left_out_fails_in_ci_only(test: str, tmp_path: Path) -> None:
    ended = pytest_in(tmp_path, test, "true")
    assert ended.returncode != 0
    assert "was left out in CI" in ended.stdout
    assert pytest_in(tmp_path, test, "false").returncode in (0, 5)


def test_an_expected_failure_is_not_left_out(tmp_path: Path) -> None:
    test = "import pytest\n@pytest.mark.xfail\ndef test_x() -> None: assert False\n"
    assert pytest_in(tmp_path, test, "true").returncode == 0
