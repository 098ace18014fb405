"""Which container or image a folder of Docker's or Podman's storage belongs to.

Layouts: Docker's `image/overlay2` and `containers` folders (moby, layer/filestore.go and image/store.go), containers/storage's JSON files
(`overlay-layers/layers.json` and its neighbours, store.go).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from typing import Any

ReadFile = Callable[[str], bytes | None]
ListDir = Callable[[str], list[str]]

_ID = re.compile(r"[0-9A-Za-z_-]{1,128}")
_NAME_MOST = 200
_NAMES_SHOWN = 3
_FOLDERS_MOST = 10_000
_LAYERS_MOST = 128  # overlayfs stacks no more than that
DOCKER_FOLDERS = ("/var/lib/docker", "/lib/docker", "/docker", "")
"""Where Docker's folder may lie in a volume: in the root's, or in one that is mounted at /var, /var/lib or on the folder itself."""
PODMAN_FOLDERS = ("/var/lib/containers/storage", "/lib/containers/storage", "/containers/storage", "/storage", "")


def container_names(read_file: ReadFile, list_dir: ListDir) -> dict[str, str]:
    """Path prefix -> name, for layer folders and for containers' own folders.

    `read_file(path)` gives a file's bytes or None, `list_dir(path)` names, none where there is no such folder; paths are absolute in the volume.
    Content that is not what it should be is left out; at most 10,000 folders are named.
    """
    found: dict[str, str] = {}
    for folder in DOCKER_FOLDERS:
        if list_dir(f"{folder}/image/overlay2"):
            found |= _docker(folder, read_file, list_dir)
    podman = list(PODMAN_FOLDERS)
    podman += [f"/home/{user}/.local/share/containers/storage" for user in list_dir("/home")[:1000]]
    podman.append("/root/.local/share/containers/storage")
    for folder in podman:
        if list_dir(f"{folder}/overlay-layers"):
            found |= _podman(folder, read_file)
    return dict(list(found.items())[:_FOLDERS_MOST])


def _docker(folder: str, read_file: ReadFile, list_dir: ListDir) -> dict[str, str]:
    base = f"{folder}/image/overlay2"
    layers: dict[str, list[str]] = {}
    images = _docker_images(read_file, base)
    for image, names in images.items():
        for chain in _chain_ids(_json(read_file(f"{base}/imagedb/content/sha256/{image}"))):
            _note(layers, chain, names)
    found: dict[str, str] = {}
    for chain in list_dir(f"{base}/layerdb/sha256")[:_FOLDERS_MOST]:
        cache = _id(read_file(f"{base}/layerdb/sha256/{chain}/cache-id"))
        if cache and chain in layers:
            found[f"{folder}/overlay2/{cache}"] = f"image {_some(layers[chain])}"
    for container in list_dir(f"{folder}/containers")[:_FOLDERS_MOST]:
        config = _json(read_file(f"{folder}/containers/{container}/config.v2.json"))
        name = _text(config.get("Name")).lstrip("/") or container[:12]
        inner = config.get("Config")
        image = _text(inner.get("Image")) if isinstance(inner, dict) else ""
        label = f"container {name} ({image})" if image else f"container {name}"
        found[f"{folder}/containers/{container}"] = label
        for which in ("mount-id", "init-id"):
            mount = _id(read_file(f"{base}/layerdb/mounts/{container}/{which}"))
            if mount:
                found[f"{folder}/overlay2/{mount}"] = label
    return found


def _note(names: dict[str, list[str]], layer: str, more: list[str]) -> None:
    """A layer may serve ten thousand images; a few names are enough."""
    known = names.setdefault(layer, [])
    if len(known) <= _NAMES_SHOWN:
        known.extend(more[: _NAMES_SHOWN + 1])


def _docker_images(read_file: ReadFile, base: str) -> dict[str, list[str]]:
    """Image id -> its tags."""
    found: dict[str, list[str]] = {}
    repositories = _json(read_file(f"{base}/repositories.json")).get("Repositories")
    for references in repositories.values() if isinstance(repositories, dict) else ():
        for name, digest in references.items() if isinstance(references, dict) else ():
            image = _text(digest).removeprefix("sha256:")
            if _ID.fullmatch(image) and "@" not in name:
                found.setdefault(image, []).append(_text(name))
    return found


def _chain_ids(config: dict[str, Any]) -> list[str]:
    """The ids of an image's layers, lowest first: each is the digest of the one below and its own (OCI image specification, ChainID)."""
    rootfs = config.get("rootfs")
    differences = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    chains: list[str] = []
    for difference in differences[:_LAYERS_MOST] if isinstance(differences, list) else ():
        text = _text(difference)
        if chains:
            text = "sha256:" + hashlib.sha256(f"sha256:{chains[-1]} {text}".encode("utf-8", "replace")).hexdigest()
        chains.append(text.removeprefix("sha256:"))
    return chains


def _podman(folder: str, read_file: ReadFile) -> dict[str, str]:
    below = {_text(layer.get("id")): _text(layer.get("parent")) for layer in _records(read_file(f"{folder}/overlay-layers/layers.json"))}
    names: dict[str, list[str]] = {}
    image_names: dict[str, list[str]] = {}
    for image in _records(read_file(f"{folder}/overlay-images/images.json")):
        shown = _texts(image.get("names")) or [_text(image.get("id"))[:12]]
        image_names[_text(image.get("id"))] = shown
        layer = _text(image.get("layer"))
        for _ in range(_LAYERS_MOST):
            if layer not in below:
                break
            _note(names, layer, shown)
            layer = below[layer]
    found = {f"{folder}/overlay/{layer}": f"image {_some(shown)}" for layer, shown in names.items() if _ID.fullmatch(layer)}
    for container in _records(read_file(f"{folder}/overlay-containers/containers.json")):
        name = _some(_texts(container.get("names"))) or _text(container.get("id"))[:12]
        image_shown = _some(image_names.get(_text(container.get("image")), []))
        layer = _text(container.get("layer"))
        if _ID.fullmatch(layer):
            found[f"{folder}/overlay/{layer}"] = f"container {name} ({image_shown})" if image_shown else f"container {name}"
    return found


def _json(raw: bytes | None) -> dict[str, Any]:
    value = _parsed(raw)
    return value if isinstance(value, dict) else {}


def _records(raw: bytes | None) -> list[dict[str, Any]]:
    value = _parsed(raw)
    return [item for item in value[:_FOLDERS_MOST] if isinstance(item, dict)] if isinstance(value, list) else []


def _parsed(raw: bytes | None) -> object:
    try:
        parsed: object = json.loads(raw or b"null")
    except (ValueError, RecursionError):
        return None
    return parsed


def _text(value: object) -> str:
    """Text that may go into a report: cut, one line, and without lone surrogates, which JSON can hold and UTF-8 cannot."""
    return re.sub(r"[\x00-\x1f\x7f\ud800-\udfff]", "?", value[:_NAME_MOST]) if isinstance(value, str) else ""


def _texts(value: object) -> list[str]:
    return [_text(item) for item in value[:_NAMES_SHOWN] if isinstance(item, str)] if isinstance(value, list) else []


def _id(raw: bytes | None) -> str:
    text = (raw or b"").decode("ascii", "replace").strip()
    return text if _ID.fullmatch(text) else ""


def _some(names: list[str]) -> str:
    """The first few of the different names."""
    unique = list(dict.fromkeys(names))
    return ", ".join(unique[:_NAMES_SHOWN]) + (", …" if len(unique) > _NAMES_SHOWN else "")
