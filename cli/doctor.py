"""`plumb doctor`: what this machine can and cannot do, and the remedy."""

from collections.abc import Iterator
from pathlib import Path

import click

from cli import options
from cli.checks import Finding, Machine, State, facts, listening_ports
from cli.failure import Status
from cli.render import Form, document, table


@click.command("doctor")
@options.output()
@click.option("--cgroup-root", type=click.Path(path_type=Path), metavar="PATH", help="As for plumb agent.")
@click.option("--no-load", is_flag=True, help="Leave out the rehearsal: load and attach nothing.")
def command(form: str, cgroup_root: Path | None, no_load: bool) -> int:
    """What this machine can and cannot do, and the remedy.

    Unless --no-load is given, the agent's programs are loaded, attached and detached again.
    """
    machine = Machine()
    findings = [*facts(machine), *listening_ports(machine)]
    can_run = all(finding.state is not State.MISSING for finding in findings)
    if can_run and not no_load:
        findings.extend(_rehearse(cgroup_root or Path(_hierarchy(findings))))
        can_run = all(finding.state is not State.MISSING for finding in findings)
    click.echo(_text(findings, can_run, Form(form)))
    return Status.DONE if can_run else Status.NOT_REACHED


def _hierarchy(findings: list[Finding]) -> str:
    return next(finding.found for finding in findings if finding.check == "cgroup v2")


def _rehearse(cgroup_root: Path) -> Iterator[Finding]:
    """The agent's own start: nothing less tells whether this kernel takes each program."""
    from agent.kernel.source import open_kernel
    from agent.records import KernelRefused

    try:
        kernel = open_kernel(cgroup_root)
    except KernelRefused as refused:
        remedy = f"{refused.remedy[:1].upper()}{refused.remedy[1:]}."
        yield Finding("load and attach", State.MISSING, refused.reason, remedy)
        return
    try:
        yield from (Finding(f"program {name}", State.OK, "loaded and attached") for name in kernel.attached)
        for part in kernel.missing:
            yield Finding(f"program {part.part}", State.LIMITED, part.reason, part.remedy)
    finally:
        kernel.close()


def _text(findings: list[Finding], can_run: bool, form: Form) -> str:
    if form is not Form.TABLE:
        rows = [
            {
                "check": finding.check,
                "state": finding.state.value,
                "found": finding.found,
                "remedy": finding.remedy or None,
            }
            for finding in findings
        ]
        return document({"agent_can_run": can_run, "checks": rows}, form)
    rows_of_text = [(finding.check, finding.state, finding.found, finding.remedy) for finding in findings]
    verdict = "The agent can run here." if can_run else "The agent cannot run here: see what is missing."
    return table(("CHECK", "STATE", "FOUND", "REMEDY"), rows_of_text) + f"\n\n{verdict}"
