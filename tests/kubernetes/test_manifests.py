"""The chart with every switch on, and the overlays that are made from it, read as strictly as can be."""

import subprocess
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.kubernetes.cluster import CHART, Cluster
from tests.kubernetes.lab.images import TREE

VERSION = "1.34"
OVERLAYS = sorted((TREE / "deploy" / "kustomize" / "overlays").iterdir())
SETTINGS = {
    "as it is": (),
    "all on": (
        *("tls.secretName=tls", "tokens.secretName=tokens", "cluster=east", "namespace.create=true"),
        *("aggregator.kubernetes.enabled=true", "serviceMonitor.enabled=true", "imagePullSecrets[0].name=registry"),
        *("agent.seLinuxOptions.type=spc_t", "agent.podAnnotations.a=b", "aggregator.podAnnotations.a=b"),
        *("aggregator.kubernetes.deployedBy[0]=helm", "aggregator.kubernetes.deployedBy[1]=ci-*"),
        "aggregator.kubernetes.moreOwners[0].apiGroups[0]=argoproj.io",
        "aggregator.kubernetes.moreOwners[0].resources[0]=rollouts",
        *(
            "aggregator.catalog.configMap=catalog",
            "aggregator.vendors.configMap=vendors",
            "aggregator.vendors.allowed={AWS}",
        ),
        "networkPolicy.readers[0].namespaceSelector.matchLabels.a=b",
    ),
    "all off": (
        *("networkPolicy.enabled=false", "podDisruptionBudget.enabled=false", "agent.priorityClassName="),
        *("aggregator.persistence.enabled=false", "aggregator.kubernetes.enabled=false"),
    ),
}


def script() -> Any:
    loader = SourceFileLoader("kustomize_script", str(TREE / "scripts" / "kustomize"))
    spec = spec_from_loader(loader.name, loader)
    assert spec
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.mark.parametrize("settings", SETTINGS)
def test_what_the_chart_makes_is_valid(cluster: Cluster, settings: str) -> None:
    flags = [word for one in SETTINGS[settings] for word in ("--set", one)]
    found = script().rendered(*flags)
    own = [one for one in found if not one["apiVersion"].startswith("monitoring.coreos.com/")]
    assert len(found) - len(own) == (2 if settings == "all on" else 0)
    for one in own:
        kubernetes_validate.validate(one, VERSION, strict=True)


def test_a_wrong_value_is_refused(cluster: Cluster) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        script().rendered("--set", "agent.imgae=x")
    assert "imgae" in refused.value.stderr


def test_helm_has_nothing_to_say_against_it(cluster: Cluster) -> None:
    assert "0 chart(s) failed" in cluster.helm("lint", "--strict", str(CHART))


def test_the_base_is_what_the_chart_says() -> None:
    made = script()
    assert made.TARGET.read_text() == made.base(), "run scripts/kustomize"


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda one: one.name)
def test_an_overlay_is_valid_and_taken_by_the_api(cluster: Cluster, overlay: Path) -> None:
    objects = [one for one in yaml.safe_load_all(cluster.kubectl("kustomize", str(overlay))) if one]
    for one in objects:
        kubernetes_validate.validate(one, VERSION, strict=True)
    cluster.make_namespace()
    cluster.kubectl("apply", "--kustomize", str(overlay), "--dry-run=server")
