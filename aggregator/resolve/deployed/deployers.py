"""Who deploys, by the names that they give themselves as field managers. Pure."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Final

from aggregator.settings import USUAL_DEPLOYERS

# Kubernetes' own controllers, an autoscaler of pods among them; where all of it is one program, that; and what the API
# calls whoever was there before it took notes.
_ITSELF: Final = frozenset({"kube-controller-manager", "k3s", "kubelite", "before-first-apply"})


class Deployers:
    """`*` in a name stands for anything. What anybody else changes is changed by hand."""

    def __init__(self, declared: Sequence[str] = USUAL_DEPLOYERS) -> None:
        self.include = lru_cache(maxsize=1024)(
            lambda manager: manager in _ITSELF or any(fnmatchcase(manager, one) for one in declared)
        )
