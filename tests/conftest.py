"""Rules for every test: what needs root says so, and in CI nothing is left out in silence."""

import os
from collections.abc import Generator
from typing import Any

import pytest

_NEEDS_ROOT = ("kernel", "cluster")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.geteuid() == 0:
        return
    for item in items:
        if any(item.get_closest_marker(name) for name in _NEEDS_ROOT):
            item.add_marker(pytest.mark.skip(reason="needs root: run it with sudo"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Generator[None, Any, Any]:
    report: Any = yield
    return _failed_if_left_out(report)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, Any, Any]:
    report: Any = yield
    return _failed_if_left_out(report)


def _failed_if_left_out(report: Any) -> Any:
    """CI has root and this kernel, so a test that is skipped there could have run: it failed."""
    if os.environ.get("CI") == "true" and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.longrepr = f"{report.nodeid} was left out in CI: {reason}"
    return report
