"""The walls and doors between the rooms hold, and their check can fail."""

import subprocess
import sys
from pathlib import Path

TREE = Path(__file__).parents[2]


def walls(tree: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, TREE / "scripts/walls", tree], capture_output=True, text=True, check=False, timeout=60
    )


def lint_imports(tree: Path) -> subprocess.CompletedProcess[str]:
    # Python puts the working directory's packages before those of the .venv.
    code = "import sys; sys.path.insert(0, '.'); from importlinter.cli import lint_imports_command as c; c()"
    return subprocess.run(
        [sys.executable, "-c", code, TREE / ".importlinter", "--no-cache"],
        cwd=tree, capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip


def test_imports_keep_to_the_walls() -> None:
    checked = lint_imports(TREE)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_rooms_keep_to_their_purpose() -> None:
    checked = walls(TREE)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_clock_in_a_pure_room_is_found(tmp_path: Path) -> None:
    room = tmp_path / "aggregator/insight"
    room.mkdir(parents=True)
    (room / "late.py").write_text('"""A question."""\nimport time\n\nNOW = time.time()\n')
    checked = walls(tmp_path)
    assert checked.returncode == 1
    assert checked.stdout == "aggregator/insight/late.py:4: calls time(), but this room does no I/O\n"


def test_a_module_without_a_purpose_is_found(tmp_path: Path) -> None:
    (tmp_path / "agent").mkdir()
    (tmp_path / "agent/thing.py").write_text("X = 1\n")
    assert walls(tmp_path).stdout.startswith("agent/thing.py:1: has no docstring")


def test_an_import_through_a_wall_is_found(tmp_path: Path) -> None:
    for package in ("agent", "aggregator", "cli", "telemetry"):
        copy_of_package(TREE / package, tmp_path / package)
    copy_of_package(TREE / "protos/plumbline", tmp_path / "plumbline")
    (tmp_path / "aggregator/records.py").write_text('"""Through the wall."""\nimport bcc\nimport agent.records\n')
    checked = lint_imports(tmp_path)
    assert checked.returncode == 1
    assert "bcc is a guest of the compiler BROKEN" in checked.stdout
    assert "Agent and aggregator know each other by the contract only BROKEN" in checked.stdout


def copy_of_package(source: Path, target: Path) -> None:
    for path in source.rglob("*.py"):
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
