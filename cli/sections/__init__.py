"""What `plumb show` says of a node to a person: one file a section, one row of SECTIONS.

A section is given the whole answer and is "" where it has nothing to say. No question is asked here.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from cli.sections import asked, byrevision, deployed, exposure, resources, scale, traffic

Json = Mapping[str, Any]


class Section(NamedTuple):
    """`title` stands above its text."""

    title: str
    text: Callable[[Json], str]


# In the order in which they are read.
SECTIONS: Final = (
    Section("Pods", scale.scale),
    Section("Resources", resources.resources),
    Section("Revisions", deployed.revisions),
    Section("By revision", byrevision.by_revision),
    Section("By hand", deployed.by_hand),
    Section("Events", deployed.events),
    Section("Exposure", exposure.exposure),
    Section("Callers", traffic.callers),
    Section("Asked for as", asked.names),
    Section("Dependencies", traffic.dependencies),
    Section("Routes", traffic.routes),
)
