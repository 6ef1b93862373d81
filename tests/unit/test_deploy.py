"""What is shipped for clusters and hosts, without any: valid to the letter, with flags that exist and no more rights
than are stated. tests/kubernetes/ runs it."""

import copy
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import jsonschema
import kubernetes_validate
import pytest
import yaml

from agent.rights import READING, WATCHING
from aggregator.catalog.vendors import SHIPPED
from cli.__main__ import plumb

TREE = Path(__file__).parents[2]
DEPLOY = TREE / "deploy"
MANIFESTS = DEPLOY / "kustomize" / "base" / "plumbline.yaml"
KUBERNETES = ("1.27", "1.30", "1.34", "1.37")
OBJECTS = [one for one in yaml.safe_load_all(MANIFESTS.read_text()) if one]
UNITS = sorted(DEPLOY.glob("systemd/*.service"))


def named(one: Any) -> str:
    return f"{one['kind']}-{one['metadata']['name']}"


def pod_of(kind: str) -> Any:
    return next(one for one in OBJECTS if one["kind"] == kind)["spec"]["template"]["spec"]


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("one", OBJECTS, ids=named)
def test_manifests_are_valid(one: Any, version: str) -> None:
    kubernetes_validate.validate(without_what_is_newer(one, version), version, strict=True)


def without_what_is_newer(one: Any, version: str) -> Any:
    """An API server drops a field that it does not know yet."""
    found = copy.deepcopy(one)
    if found["kind"] == "DaemonSet" and version < "1.30":
        del found["spec"]["template"]["spec"]["containers"][0]["securityContext"]["appArmorProfile"]
    return found


def test_a_misspelt_field_is_found() -> None:
    wrong = copy.deepcopy(next(one for one in OBJECTS if one["kind"] == "DaemonSet"))
    wrong["spec"]["template"]["spec"]["hostPid"] = True
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, KUBERNETES[-1], strict=True)


def test_an_agent_gets_what_it_says_it_needs_and_nothing_else() -> None:
    pod = pod_of("DaemonSet")
    (container,) = pod["containers"]
    rights = container["securityContext"]
    assert rights["capabilities"] == {"drop": ["ALL"], "add": [*WATCHING, *READING]}
    assert rights["readOnlyRootFilesystem"] and not rights["privileged"] and not rights["allowPrivilegeEscalation"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert not [one for one in OBJECTS if one["kind"] in ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")
                and "agent" in json.dumps(one)]  # fmt: skip


def test_an_aggregator_is_nobody_and_has_no_right() -> None:
    pod = pod_of("StatefulSet")
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] and container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["securityContext"]["readOnlyRootFilesystem"]


def test_the_names_that_others_rely_on() -> None:
    """DESIGN: the Service, its ports, the values."""
    service = next(one for one in OBJECTS if named(one) == "Service-plumbline-aggregator")
    assert [port["port"] for port in service["spec"]["ports"]] == [7170, 7171, 7172]
    assert {one["metadata"].get("namespace", "plumbline") for one in OBJECTS} == {"plumbline"}
    values = yaml.safe_load((DEPLOY / "chart" / "values.yaml").read_text())
    assert values["aggregator"]["persistence"]["enabled"] is True
    assert {"imagePullPolicy"} < set(values) and values["agent"]["image"] and values["aggregator"]["image"]


def test_values_are_as_the_schema_says() -> None:
    schema = json.loads((DEPLOY / "chart" / "values.schema.json").read_text())
    values = yaml.safe_load((DEPLOY / "chart" / "values.yaml").read_text())
    jsonschema.Draft7Validator.check_schema(schema)
    jsonschema.validate(values, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**values, "agnet": {}}, schema)


def commands() -> Iterator[tuple[str, list[str]]]:
    """Where a daemon is started, and with which words."""
    for kind in ("DaemonSet", "StatefulSet"):
        yield kind, pod_of(kind)["containers"][0]["args"]
    for unit in UNITS:
        line = next(line for line in unit.read_text().splitlines() if line.startswith("ExecStart="))
        yield unit.name, [word for word in line.split()[1:] if not word.startswith("$")]


@pytest.mark.parametrize(("where", "words"), [*commands()], ids=lambda one: one if isinstance(one, str) else "")
def test_the_flags_that_are_passed_exist(where: str, words: list[str]) -> None:
    known = flags_of(words[0])
    assert {word.split("=")[0] for word in words[1:] if word.startswith("--")} <= known


def test_the_api_is_watched_as_soon_as_there_is_a_flag_for_it() -> None:
    """Whoever brings the flag turns it on in deploy/chart/values.yaml, and runs scripts/kustomize."""
    values = yaml.safe_load((DEPLOY / "chart" / "values.yaml").read_text())
    assert values["aggregator"]["kubernetes"]["enabled"] is ("--kubernetes" in flags_of("aggregator"))


def flags_of(name: str) -> set[str]:
    command = plumb.get_command(click.Context(plumb), name)
    assert command
    return {flag for parameter in command.params for flag in parameter.opts}


def test_units_give_an_agent_the_same_rights() -> None:
    text = (DEPLOY / "systemd" / "plumbline-agent.service").read_text()
    assert f"CapabilityBoundingSet={' '.join(f'CAP_{one}' for one in (*WATCHING, *READING))}\n" in text


def test_an_install_lays_out_what_the_units_start(tmp_path: Path) -> None:
    for _ in range(2):
        subprocess.run([TREE / "scripts" / "install"], env={**os.environ, "DESTDIR": str(tmp_path)}, check=True)
    assert (tmp_path / "usr/local/bin/plumb").readlink() == Path("/opt/plumbline/.venv/bin/plumb")
    home = tmp_path / "opt" / "plumbline"
    assert (home / "scripts" / "setup").exists() and (home / "protos" / "plumbline" / "v1").is_dir()
    assert (home / "aggregator" / "catalog" / "vendors.yaml").read_bytes() == SHIPPED.read_bytes()
    for unit in UNITS:
        assert (tmp_path / "etc/systemd/system" / unit.name).read_text() == unit.read_text()
        assert "/opt/plumbline/.venv/bin/plumb " in unit.read_text()
    written = tmp_path / "etc" / "plumbline" / "agent"
    written.write_text("AGENT_FLAGS=--host here\n")
    subprocess.run([TREE / "scripts" / "install"], env={**os.environ, "DESTDIR": str(tmp_path)}, check=True)
    assert written.read_text() == "AGENT_FLAGS=--host here\n"
