"""An image must not choose which files of this machine are opened."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from snapscan.model.errors import ParentRefused, SourceError
from snapscan.model.space import read_bytes
from snapscan.spaces.chain import DEPTH_MOST

pytestmark = pytest.mark.images

SECRET = b"root:*:19000:0:99999:7:::\n" * 3000


@pytest.fixture
def host(tmp_path):
    """A host with a file that no image may reach, and a folder `vm` for the image."""
    (tmp_path / "vm" / "sub").mkdir(parents=True)
    (tmp_path / "secret.txt").write_bytes(SECRET)
    (tmp_path / "vm" / "link.raw").symlink_to(tmp_path / "secret.txt")
    (tmp_path / "vm" / "away").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "vm" / "pipe")
    return tmp_path


HOSTILE = [
    "{host}/secret.txt",
    "../secret.txt",
    "sub/../../secret.txt",
    "./../secret.txt",
    "away/secret.txt",
    "link.raw",
    "sub/../link.raw",
    "nbd:localhost:10809",
    "nbd+unix:///x?socket=/tmp/s",
    "http://localhost/disk.raw",
    "file:///etc/passwd",
    "file:{host}/secret.txt",
    'json:{{"driver":"file","filename":"{host}/secret.txt"}}',
    "fat:rw:/etc",
    "C:\\vm\\disk.raw",
    "..",
    ".",
    "/",
    "sub",
    "pipe",
    "/dev/zero",
    "/etc/shadow",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_qcow2_backing_name_that_leads_elsewhere_is_refused(host, disks, opened, edited, name):
    name = name.format(host=host)
    path = host / "vm" / "disk.qcow2"
    disks.qemu_img("create", "-q", "-u", "-f", "qcow2", "-b", "x" * len(name.encode()), "-F", "raw", path, "1M")
    edited(path, int.from_bytes(path.read_bytes()[8:16], "big"), name.encode())
    with pytest.raises(ParentRefused) as caught:
        opened(path)
    assert caught.value.reference == "parent-refused"
    assert caught.value.hint


@pytest.mark.parametrize("name", [name for name in HOSTILE if '"' not in name])
@pytest.mark.parametrize("role", ["extent", "parent"])
def test_a_vmdk_name_that_leads_elsewhere_is_refused(host, opened, role, name):
    name = name.format(host=host)
    (host / "vm" / "flat.raw").write_bytes(bytes(4096))
    hint = f'parentCID=00000001\nparentFileNameHint="{name}"' if role == "parent" else "parentCID=ffffffff"
    extent = name if role == "extent" else "flat.raw"
    path = host / "vm" / "disk.vmdk"
    path.write_text(f'# Disk DescriptorFile\nversion=1\nCID=12345678\n{hint}\ncreateType="custom"\nRW 8 FLAT "{extent}" 0\n')
    with pytest.raises(ParentRefused) as caught:
        opened(path)
    assert caught.value.reference == "parent-refused"


def test_the_refusal_names_image_and_file_and_says_what_to_do(host, disks, opened):
    path = host / "vm" / "disk.qcow2"
    disks.qemu_img("create", "-q", "-u", "-f", "qcow2", "-b", "/etc/shadow", "-F", "raw", path, "1M")
    with pytest.raises(ParentRefused) as caught:
        opened(path)
    assert str(caught.value).splitlines() == [
        "parent-refused",
        "  disk.qcow2 needs /etc/shadow as its backing file, which is outside the folders allowed for this image",
        "  hint: if that is right, add --parents-from DIR; a snapshot should not name host files",
    ]


def backed(disks, path: Path, backing: str, size: str = "1M") -> Path:
    disks.qemu_img("create", "-q", "-u", "-f", "qcow2", "-b", backing, "-F", "raw", path, size)
    return path


def test_a_folder_that_the_user_allows_is_looked_into(host, disks, opened):
    (host / "bases").mkdir()
    (host / "bases" / "base.raw").write_bytes(SECRET)
    for name in (str(host / "bases" / "base.raw"), "base.raw", "../bases/base.raw"):
        path = backed(disks, host / "vm" / "disk.qcow2", name)
        with pytest.raises(ParentRefused):
            opened(path)
        assert read_bytes(opened(path, parents_from=(host / "bases",)), 0, 20) == SECRET[:20]


def test_a_link_inside_an_allowed_folder_is_refused_too(host, disks, opened):
    (host / "bases").mkdir()
    (host / "bases" / "base.raw").symlink_to(host / "secret.txt")
    path = backed(disks, host / "vm" / "disk.qcow2", "base.raw")
    with pytest.raises(ParentRefused, match="symbolic link"):
        opened(path, parents_from=(host / "bases",))


def test_a_name_in_a_folder_below_the_image_is_followed(host, disks, opened):
    (host / "vm" / "sub" / "base.raw").write_bytes(b"\x42" * (1 << 20))
    assert read_bytes(opened(backed(disks, host / "vm" / "disk.qcow2", "sub/base.raw")), 5, 3) == b"BBB"


def test_the_image_itself_may_be_given_as_a_link(host, disks, opened):
    """The person typed it; what the image names is looked up beside the link."""
    (host / "vm" / "base.raw").write_bytes(b"\x42" * (1 << 20))
    path = backed(disks, host / "vm" / "disk.qcow2", "base.raw")
    (host / "vm" / "alias.qcow2").symlink_to(path)
    assert read_bytes(opened(host / "vm" / "alias.qcow2"), 5, 3) == b"BBB"


def test_a_name_with_a_nul_or_without_a_letter_is_refused(host, disks, opened):
    path = host / "vm" / "disk.qcow2"
    backed(disks, path, "xxxxxxxx")
    path.write_bytes(path.read_bytes().replace(b"xxxxxxxx", b"se\0ret.t"))
    with pytest.raises(ParentRefused):
        opened(path)


def test_an_image_that_is_its_own_backing_file_is_refused(host, disks, opened):
    path = host / "vm" / "disk.qcow2"
    disks.qemu_img("create", "-q", "-u", "-f", "qcow2", "-b", "disk.qcow2", "-F", "qcow2", path, "1M")
    with pytest.raises(ParentRefused, match="back to itself"):
        opened(path)


def test_a_circle_of_three_is_refused(host, disks, opened):
    for name, below in (("a", "b"), ("b", "c"), ("c", "a")):
        disks.qemu_img("create", "-q", "-u", "-f", "qcow2", "-b", f"{below}.qcow2", "-F", "qcow2", host / "vm" / f"{name}.qcow2", "1M")
    with pytest.raises(ParentRefused, match="back to itself"):
        opened(host / "vm" / "a.qcow2")


def test_a_chain_that_is_too_deep_is_refused(host, disks, opened):
    path = host / "vm" / "0.qcow2"
    disks.qemu_img("create", "-q", "-u", "-f", "qcow2", "-b", "000.qcow2", "-F", "qcow2", path, "1M")
    content = path.read_bytes()
    for number in range(DEPTH_MOST + 2):
        (host / "vm" / f"{number:03d}.qcow2").write_bytes(content.replace(b"000.qcow2", b"%03d.qcow2" % (number + 1), 1))
    with pytest.raises(ParentRefused, match=str(DEPTH_MOST)):
        opened(host / "vm" / "000.qcow2")


def test_no_file_stays_open_after_a_refusal(host, disks, opened):
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    path = backed(disks, host / "vm" / "disk.qcow2", "../secret.txt")
    disks.qemu_img("create", "-q", "-u", "-f", "qcow2", "-b", "disk.qcow2", "-F", "qcow2", host / "vm" / "top.qcow2", "1M")
    (host / "vm" / "two.vmdk").write_text('# Disk DescriptorFile\nCID=1\nparentCID=ffffffff\nRW 1 FLAT "disk.qcow2" 0\nRW 1 FLAT "../secret.txt" 0\n')
    before = descriptors()
    for image in (path, host / "vm" / "top.qcow2", host / "vm" / "two.vmdk"):
        with pytest.raises(SourceError):
            opened(image)
    assert descriptors() == before
