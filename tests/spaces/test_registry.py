from __future__ import annotations

import os
import random
import socket
from importlib import import_module

import pytest

from snapscan.model.errors import AccessDenied, NotFound, SourceError, UnsupportedFormat
from snapscan.model.snapshot import SourceSpec
from snapscan.spaces import registry
from snapscan.spaces.registry import detect, open_space


@pytest.mark.images
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("qcow2", ()),
        ("vmdk", ()),
        ("vmdk", ("-o", "subformat=monolithicFlat")),
        ("vhdx", ()),
        ("vdi", ()),
        ("vhd", ("-o", "force_size=on")),
        ("vhd", ("-o", "subformat=fixed,force_size=on")),
        ("raw", ()),
    ],
)
def test_each_container_is_recognised_by_its_content_whatever_its_name(disks, kind, options):
    assert detect(str(disks.create("image.bin", kind, *options, seed=None))) == kind


def test_a_directory_is_a_folder(tmp_path):
    assert detect(str(tmp_path)) == "folder"


@pytest.mark.parametrize("content", [b"", b"Q", b"QFI\xfa" + bytes(600), b"conectix", bytes(2000), os.urandom(700)])
def test_unknown_content_is_raw(tmp_path, content):
    path = tmp_path / "image.qcow2"
    path.write_bytes(content if not content.startswith(b"conectix") else bytes(512) + content)
    assert detect(str(path)) == "raw"


def test_a_footer_that_does_not_fit_the_file_does_not_shorten_a_raw_disk(tmp_path):
    footer = bytearray(512)
    footer[:8] = b"conectix"
    footer[48:56] = (512).to_bytes(8, "big")
    footer[60:64] = b"\0\0\0\x02"
    path = tmp_path / "disk.img"
    path.write_bytes(b"x" * 4096 + footer)
    assert detect(str(path)) == "raw"


@pytest.mark.images
def test_a_kind_that_is_given_is_not_questioned(disks, opened):
    path = disks.create("disk.qcow2", "qcow2")
    space = opened(path, "raw")
    assert space.snapshot.kind == "raw" and space.size_bytes == path.stat().st_size


def test_an_unknown_kind_is_refused_with_those_that_exist(tmp_path):
    path = tmp_path / "disk.img"
    path.write_bytes(b"x")
    with pytest.raises(UnsupportedFormat, match="raw") as caught:
        open_space(SourceSpec(str(path), "floppy"))
    assert caught.value.reference == "unknown-kind"


def test_a_file_given_as_a_folder_is_refused(tmp_path):
    path = tmp_path / "disk.img"
    path.write_bytes(b"x")
    with pytest.raises(SourceError):
        open_space(SourceSpec(str(path), "folder"))


def test_a_fifo_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for kind in ("", "raw", "qcow2"):
        with pytest.raises(UnsupportedFormat) as caught:
            open_space(SourceSpec(str(tmp_path / "pipe"), kind))
        assert caught.value.reference == "source-not-a-file"


def test_a_socket_and_a_character_device_are_refused(tmp_path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        for path in (str(tmp_path / "s"), "/dev/null"):
            with pytest.raises(UnsupportedFormat, match="neither"):
                open_space(SourceSpec(path))


def test_a_missing_file_says_so(tmp_path):
    for path in (tmp_path / "nothing.img", tmp_path / "a" / "b"):
        with pytest.raises(NotFound) as caught:
            open_space(SourceSpec(str(path)))
        assert str(path) in caught.value.message


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
def test_a_file_of_somebody_else_gives_access_denied_with_a_hint(tmp_path):
    path = tmp_path / "disk.img"
    path.write_bytes(b"x" * 512)
    path.chmod(0o600)
    for folder in [tmp_path, *tmp_path.parents][:3]:
        folder.chmod(0o755)
    os.seteuid(65534)
    try:
        with pytest.raises(AccessDenied) as caught:
            open_space(SourceSpec(str(path)))
    finally:
        os.seteuid(0)
    assert caught.value.hint


def test_control_characters_of_a_path_do_not_reach_the_message(tmp_path):
    with pytest.raises(NotFound) as caught:
        detect(str(tmp_path / "evil\x1b[2Jname"))
    assert "\x1b" not in caught.value.message


def test_every_kind_has_an_opener_that_exists():
    for module, function in registry.OPENERS.values():
        assert callable(getattr(import_module(module), function))


@pytest.mark.parametrize("magic", [b"QFI\xfb", b"KDMV", b"COWD", b"vhdxfile", b"conectix", b"EVF\x09\x0d\x0a\xff\x00", b"# Disk DescriptorFile\n"])
def test_headers_of_noise_end_in_a_source_error_or_a_space(tmp_path, magic):
    path = tmp_path / "noise"
    for seed in range(60):
        chance = random.Random(seed)
        path.write_bytes(magic + chance.randbytes(chance.choice([0, 20, 500, 5000, 300_000])))
        try:
            space = open_space(SourceSpec(str(path)))
        except SourceError:
            continue
        assert space.size_bytes < 1 << 63
        space.close()
