"""Questions about one Case, a file each: pure functions, no I/O, no clock, no name of an output.

A new question is one file here and one row in QUESTIONS.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aggregator.insight.case import Answer, CannotAnswer, Case
from aggregator.insight.drift import drift
from aggregator.insight.impact import impact
from aggregator.insight.owner import owner
from aggregator.insight.thirdparties import thirdparties
from aggregator.insight.vendors import vendors


@dataclass(frozen=True, slots=True)
class Question:
    """`answer(case, subject)` may raise CannotAnswer. Without `needs_subject` the subject is empty."""

    name: str
    needs_subject: bool
    answer: Callable[[Case, str], Answer]


QUESTIONS: Mapping[str, Question] = {
    question.name: question
    for question in (
        Question("drift", needs_subject=False, answer=drift),
        Question("impact", needs_subject=True, answer=impact),
        Question("owner", needs_subject=True, answer=owner),
        Question("thirdparties", needs_subject=False, answer=thirdparties),
        Question("vendors", needs_subject=False, answer=vendors),
    )
}


def ask(case: Case, name: str, subject: str = "") -> Answer:
    """Raises CannotAnswer: no such question, a subject that is missing, or one that nobody saw."""
    question = QUESTIONS.get(name)
    if question is None:
        raise CannotAnswer(f"There is no question {name!r}; ask one of: {', '.join(sorted(QUESTIONS))}.")
    if question.needs_subject and not subject:
        raise CannotAnswer(f"{name} is about one node: name it, as `plumb graph` shows it.")
    return question.answer(case, subject)
