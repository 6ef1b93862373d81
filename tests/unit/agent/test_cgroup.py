"""Every form in which runtimes and kubelets name a cgroup, and what it must be called."""

import pytest
from plumbline.v1.flow_pb2 import (
    ENDPOINT_KIND_CONTAINER,
    ENDPOINT_KIND_POD,
    ENDPOINT_KIND_PROCESS,
    ENDPOINT_KIND_UNIT,
)

from agent.identity.cgroup import find_cgroup_root, identify

UID = "0f8fad5b-d9cb-469f-a165-70867728950e"
SYSTEMD_UID = UID.replace("-", "_")
STATIC = "3c1a2b4d5e6f708192a3b4c5d6e7f809"
ID = "e4063920952d766348421832d2df465324397166164478852332152342342342"
POD, UNIT, CONTAINER, PROCESS = (
    ENDPOINT_KIND_POD, ENDPOINT_KIND_UNIT, ENDPOINT_KIND_CONTAINER, ENDPOINT_KIND_PROCESS,
)  # fmt: skip
BURSTABLE = f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{SYSTEMD_UID}.slice"


@pytest.mark.parametrize(
    ("path", "kind", "pod_uid", "container_id", "unit"),
    [
        # systemd driver: containerd, CRI-O, docker shim; the three classes of quality of service
        (f"{BURSTABLE}/cri-containerd-{ID}.scope", POD, UID, ID, ""),
        (f"{BURSTABLE}/crio-{ID}.scope", POD, UID, ID, ""),
        (f"{BURSTABLE}/docker-{ID}.scope", POD, UID, ID, ""),
        (f"{BURSTABLE}/crio-conmon-{ID}.scope", PROCESS, "", "", ""),
        (f"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod{SYSTEMD_UID}.slice/cri-containerd-{ID}.scope",
         POD, UID, ID, ""),
        (f"/kubepods.slice/kubepods-pod{SYSTEMD_UID}.slice/cri-containerd-{ID}.scope", POD, UID, ID, ""),
        (BURSTABLE, POD, UID, "", ""),
        # a cgroup that the container made inside its own
        (f"{BURSTABLE}/cri-containerd-{ID}.scope/init.scope", POD, UID, ID, ""),
        (f"{BURSTABLE}/cri-containerd-{ID}.scope/system.slice/sshd.service", POD, UID, ID, ""),
        # kind: a kubelet inside a container
        (f"/docker/{'a' * 64}/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{SYSTEMD_UID}.slice/"
         f"cri-containerd-{ID}.scope", POD, UID, ID, ""),
        (f"/system.slice/docker-{'a' * 64}.scope/kubelet.slice/kubelet-kubepods.slice/"
         f"kubelet-kubepods-pod{SYSTEMD_UID}.slice/cri-containerd-{ID}.scope", POD, UID, ID, ""),
        (f"/system.slice/docker-{'a' * 64}.scope/kubelet.slice/kubelet.service", CONTAINER, "", "a" * 64, ""),
        # a container inside a pod's container
        (f"{BURSTABLE}/cri-containerd-{'a' * 64}.scope/docker/{ID}", POD, UID, ID, ""),
        (f"{BURSTABLE}/cri-containerd-{'a' * 64}.scope/libpod-conmon-{ID}.scope", PROCESS, "", "", ""),
        # cgroupfs driver
        (f"/kubepods/burstable/pod{UID}/{ID}", POD, UID, ID, ""),
        (f"/kubepods/besteffort/pod{UID}/{ID}", POD, UID, ID, ""),
        (f"/kubepods/pod{UID}/{ID}", POD, UID, ID, ""),
        (f"/kubepods/burstable/pod{UID}/crio-{ID}", POD, UID, ID, ""),
        # a static pod's uid is a hash of its manifest
        (f"/kubepods/burstable/pod{STATIC}/{ID}", POD, STATIC, ID, ""),
        (f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{STATIC}.slice/cri-containerd-{ID}.scope",
         POD, STATIC, ID, ""),
        # containerd without slices: "slice:prefix:id"
        (f"/system.slice/containerd.service/kubepods-burstable-pod{SYSTEMD_UID}.slice:cri-containerd:{ID}",
         POD, UID, ID, ""),
        # docker and podman by themselves
        (f"/system.slice/docker-{ID}.scope", CONTAINER, "", ID, ""),
        (f"/docker/{ID}", CONTAINER, "", ID, ""),
        (f"/docker/buildkit/{ID}", CONTAINER, "", ID, ""),
        (f"/machine.slice/libpod-{ID}.scope", CONTAINER, "", ID, ""),
        (f"/machine.slice/libpod-{ID}.scope/container", CONTAINER, "", ID, ""),
        (f"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope", CONTAINER, "", ID, ""),
        (f"/libpod_parent/libpod-{ID}", CONTAINER, "", ID, ""),
        (f"/machine.slice/libpod-conmon-{ID}.scope", PROCESS, "", "", ""),
        (f"/machine.slice/libpod-conmon-{'a' * 64}.scope/libpod-{ID}.scope", CONTAINER, "", ID, ""),
        # containers that hold a whole system
        ("/lxc.payload.web", CONTAINER, "", "web", ""),
        ("/lxc.payload.shop_web/system.slice/nginx.service", CONTAINER, "", "shop_web", ""),
        ("/lxc/web/init.scope", CONTAINER, "", "web", ""),
        (f"/lxc.payload.web/system.slice/docker-{ID}.scope", CONTAINER, "", ID, ""),
        (f"{BURSTABLE}/crio-{ID}.scope/lxc.payload.web", POD, UID, "web", ""),
        ("/lxc.monitor.web", PROCESS, "", "", ""),
        ("/machine.slice/systemd-nspawn@web.service/payload/system.slice/nginx.service", CONTAINER, "", "web", ""),
        ("/machine.slice/machine-web.scope/payload", CONTAINER, "", "web", ""),
        ("/machine.slice/systemd-nspawn@web.service/supervisor", PROCESS, "", "", ""),
        # units
        ("/system.slice/frontend.service", UNIT, "", "", "frontend.service"),
        ("/system.slice/system-getty.slice/getty@tty1.service", UNIT, "", "", "getty@tty1.service"),
        ("/system.slice/postgresql@14-main.service/child", UNIT, "", "", "postgresql@14-main.service"),
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/web.service", UNIT, "", "", "web.service"),
        ("/system.slice/containerd.service", UNIT, "", "", "containerd.service"),
        # what says nothing
        ("/", PROCESS, "", "", ""),
        ("/init.scope", PROCESS, "", "", ""),
        ("/user.slice/user-1000.slice/session-2.scope", PROCESS, "", "", ""),
        ("/user.slice/user-0.slice/user@0.service/app.slice/run-r1234.scope", PROCESS, "", "", ""),
        (f"/not-a-pod{UID}x/abc", PROCESS, "", "", ""),
        ("/system.slice", PROCESS, "", "", ""),
        # hostile directory names
        ("/x\n.service", UNIT, "", "", "x\n.service"),
        (f"/{'pod' * 2000}", PROCESS, "", "", ""),
    ],
)  # fmt: skip
def test_forms(path: str, kind: int, pod_uid: str, container_id: str, unit: str) -> None:
    identity = identify(path)
    assert (identity.kind, identity.pod_uid, identity.container_id, identity.unit) == (
        kind,
        pod_uid,
        container_id,
        unit,
    )
    assert identity.named is (kind != PROCESS)


def test_where_cgroup_v2_is_mounted() -> None:
    hybrid = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup2 /sys/fs/cgroup/uni\\040fied cgroup2 rw,nosuid 0 0\n"
    assert str(find_cgroup_root(hybrid)) == "/sys/fs/cgroup/uni fied"
    assert find_cgroup_root("proc /proc proc rw 0 0\n") is None
