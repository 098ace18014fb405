from __future__ import annotations

import hashlib
import json

import pytest

from snapscan.maps.container_names import container_names


class Files:
    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files

    def read_file(self, path: str) -> bytes | None:
        return self.files.get(path)

    def list_dir(self, path: str) -> list[str]:
        inside = (name.removeprefix(path + "/") for name in self.files if name.startswith(path + "/"))
        return sorted({name.split("/")[0] for name in inside})


def docker(folder: str) -> dict[str, bytes]:
    lower, upper = "sha256:" + "1" * 64, "sha256:" + "2" * 64
    chain = hashlib.sha256(f"{lower} {upper}".encode()).hexdigest()
    base = f"{folder}/image/overlay2"
    repositories = {"Repositories": {"shop/web": {"shop/web:2.1": "sha256:" + "a" * 64, "shop/web@sha256:ff": "sha256:" + "a" * 64}}}
    return {
        f"{base}/repositories.json": json.dumps(repositories).encode(),
        f"{base}/imagedb/content/sha256/" + "a" * 64: json.dumps({"rootfs": {"type": "layers", "diff_ids": [lower, upper]}}).encode(),
        f"{base}/layerdb/sha256/" + "1" * 64 + "/cache-id": b"lower-layer",
        f"{base}/layerdb/sha256/{chain}/cache-id": b"upper-layer",
        f"{base}/layerdb/sha256/" + "9" * 64 + "/cache-id": b"layer-of-no-image",
        f"{base}/layerdb/mounts/c0ffee/mount-id": b"mount",
        f"{base}/layerdb/mounts/c0ffee/init-id": b"mount-init",
        f"{folder}/containers/c0ffee/config.v2.json": json.dumps({"Name": "/front", "Config": {"Image": "shop/web:2.1"}}).encode(),
    }


@pytest.mark.parametrize("folder", ["/var/lib/docker", ""])
def test_docker_layers_and_containers_have_their_names(folder: str) -> None:
    files = Files(docker(folder))
    assert container_names(files.read_file, files.list_dir) == {
        f"{folder}/overlay2/lower-layer": "image shop/web:2.1",
        f"{folder}/overlay2/upper-layer": "image shop/web:2.1",
        f"{folder}/overlay2/mount": "container front (shop/web:2.1)",
        f"{folder}/overlay2/mount-init": "container front (shop/web:2.1)",
        f"{folder}/containers/c0ffee": "container front (shop/web:2.1)",
    }


def test_podman_layers_and_containers_have_their_names() -> None:
    folder = "/home/ann/.local/share/containers/storage"
    files = Files(
        {
            f"{folder}/overlay-layers/layers.json": json.dumps([{"id": "l1"}, {"id": "l2", "parent": "l1"}, {"id": "l3", "parent": "l2"}]).encode(),
            f"{folder}/overlay-images/images.json": json.dumps([{"id": "i1", "names": ["quay.io/a/b:1"], "layer": "l2"}]).encode(),
            f"{folder}/overlay-containers/containers.json": json.dumps([{"id": "c1", "names": ["job"], "image": "i1", "layer": "l3"}]).encode(),
        }
    )
    assert container_names(files.read_file, files.list_dir) == {
        f"{folder}/overlay/l1": "image quay.io/a/b:1",
        f"{folder}/overlay/l2": "image quay.io/a/b:1",
        f"{folder}/overlay/l3": "container job (quay.io/a/b:1)",
    }


@pytest.mark.parametrize("bad", [b"", b"{", b"[1,2", b"null", b"[]", b'{"Repositories": [1]}', b"[" * 100_000, b"\xff\xfe"])
def test_damaged_files_are_left_out(bad: bytes) -> None:
    whole = docker("/var/lib/docker")
    for name in whole:
        files = Files(whole | {name: bad})
        container_names(files.read_file, files.list_dir)


def test_a_loop_of_layers_ends() -> None:
    folder = "/var/lib/containers/storage"
    files = Files(
        {
            f"{folder}/overlay-layers/layers.json": json.dumps([{"id": "l1", "parent": "l2"}, {"id": "l2", "parent": "l1"}]).encode(),
            f"{folder}/overlay-images/images.json": json.dumps([{"id": "i", "names": ["x"], "layer": "l1"}]).encode(),
        }
    )
    assert container_names(files.read_file, files.list_dir) == {f"{folder}/overlay/l1": "image x", f"{folder}/overlay/l2": "image x"}


def test_names_are_cut_and_hold_no_control_characters() -> None:
    files = docker("/var/lib/docker")
    files["/var/lib/docker/containers/c0ffee/config.v2.json"] = json.dumps({"Name": "/a\x1b[31m\ud800" + "b" * 999}).encode()
    names = container_names(Files(files).read_file, Files(files).list_dir)
    shown = names["/var/lib/docker/overlay2/mount"]
    assert "\x1b" not in shown and len(shown) < 250
    shown.encode()
