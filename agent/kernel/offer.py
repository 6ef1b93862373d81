"""Whether the descriptors that an old agent offers are what they are said to be."""

from collections.abc import Mapping
from pathlib import Path

_OF_MAPS = ("map_type", "key_size", "value_size", "max_entries", "map_flags")


class WrongDescriptor(Exception):
    """Something else than what was offered; the reason is for a person."""


def check_maps(offered: Mapping[str, int], ours: Mapping[str, int]) -> None:
    """Each must be a map of the same form as ours of that name, and none may be missing. Raises WrongDescriptor."""
    if offered.keys() != ours.keys():
        raise WrongDescriptor(f"other maps than ours: {sorted(offered.keys() ^ ours.keys())}")
    for name, descriptor in offered.items():
        told, wanted = facts(descriptor), facts(ours[name])
        if any(told.get(fact) != wanted.get(fact) for fact in _OF_MAPS):
            raise WrongDescriptor(f"what is offered as the map {name} is another thing")


def check_link(name: str, descriptor: int, cgroup_id: int, attach_type: int) -> None:
    """It must be a link to our cgroup, at the hook of that name. Raises WrongDescriptor."""
    told = facts(descriptor)
    if (told.get("link_type"), told.get("cgroup_id"), told.get("attach_type")) != (
        "cgroup",
        str(cgroup_id),
        str(attach_type),
    ):
        raise WrongDescriptor(f"what is offered as the link of {name} is another thing")


def facts(descriptor: int) -> dict[str, str]:
    """What the kernel says of a descriptor, by its own words."""
    lines = Path(f"/proc/self/fdinfo/{descriptor}").read_text(encoding="ascii", errors="replace").splitlines()
    return {word: value.strip() for word, _, value in (line.partition(":") for line in lines)}
