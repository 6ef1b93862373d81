"""The commands that ask the aggregator a question: all of them, from the rows of cli.questions."""

from typing import Any

import click

from cli import options
from cli.questions import QUESTIONS, Question
from cli.render import Form, document, percent, safe, table


def command_for(name: str) -> click.Command:
    """The click command of one question."""
    question = QUESTIONS[name]

    @options.reading
    @options.output()
    @options.window
    def ask(form: str, window_seconds: float, subject: str = "", by: str | None = None, **access: Any) -> int:
        from cli.client import Access, Aggregator

        asked = question.by[by] if by else question
        with Aggregator(Access(access.pop("aggregator"), **access)) as aggregator:
            answer, status = aggregator.ask(asked.name, subject, window_seconds)
        click.echo(_text(asked, answer) if form == Form.TABLE else document(answer, Form(form)))
        return status

    if question.by:
        ask = click.option("--by", type=click.Choice([*question.by]), help="One row for all that is one's own.")(ask)
    if question.argument:
        ask = click.argument("subject", metavar=question.argument)(ask)
    return click.command(name, help=question.help)(ask)


def _text(question: Question, answer: dict[str, Any]) -> str:
    rows = [row for key in question.rows for row in answer.get(key) or []]
    parts = []
    if rows:
        cells = [[value(row) for _, value in question.columns] for row in rows]
        parts.append(table([heading for heading, _ in question.columns], cells))
    lines = [_summary(question, answer, bool(rows))]
    if answer.get("reason"):
        lines.append(safe(answer["reason"]))
    lines.extend(_problem(problem) for problem in answer.get("problems") or [])
    return "\n\n".join([*parts, "\n".join(lines)])


def _summary(question: Question, answer: dict[str, Any], is_any: bool) -> str:
    window = answer.get("window") or {}
    span = f"from {window.get('from') or '?'} to {window.get('to') or '?'}"
    seen = f"coverage {percent(answer.get('coverage')) or 'unknown'}"
    withheld = len(answer.get("withheld") or [])
    more = f"; {withheld} withheld for want of evidence (-o json tells why)" if withheld else ""
    return f"{'Seen' if is_any else question.nothing} {span}, {seen}{more}."


def _problem(problem: dict[str, Any]) -> str:
    place = ":".join(str(problem[key]) for key in ("file", "line") if problem.get(key))
    return safe(f"{place}: {problem['sentence']}" if place else problem["sentence"])
