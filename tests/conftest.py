"""Rules for every test: who needs root says so, what is long waits until it is asked for, and CI leaves nothing out."""

import os
import signal
from collections.abc import Generator
from typing import Any

import pytest

_NEEDS_ROOT = ("kernel", "cluster", "kubernetes")


def pytest_configure() -> None:
    """A shell lets what it puts into the background ignore Ctrl-C, and all that this starts would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    _put_long_ones_aside(config, items)
    if os.geteuid() == 0:
        return
    for item in items:
        if any(item.get_closest_marker(name) for name in _NEEDS_ROOT):
            item.add_marker(pytest.mark.skip(reason="needs root: run it with sudo"))


def _put_long_ones_aside(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What takes minutes runs when it is asked for (`-m long`), as does what needs a Kubernetes (`-m kubernetes`); it
    is deselected otherwise, not skipped.

    Not in `addopts`: an expression of the command line would replace it there, and `-m kernel` would run for hours.
    """
    kept_aside = [name for name in ("long", "kubernetes") if name not in config.option.markexpr]
    aside = [item for item in items if any(item.get_closest_marker(name) for name in kept_aside)]
    if aside:
        config.hook.pytest_deselected(items=aside)
        items[:] = [item for item in items if item not in aside]


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
