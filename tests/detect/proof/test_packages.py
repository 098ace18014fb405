"""Package databases as text: what they say of a file, under which names, and that nothing in them is believed blindly."""

from __future__ import annotations

import base64
import hashlib

import pytest

from snapscan.detect.proof.packages import shipped

MD5 = hashlib.md5(b"content").hexdigest()
SHA1 = base64.b64encode(hashlib.sha1(b"content").digest()).decode()
SHA256 = base64.urlsafe_b64encode(hashlib.sha256(b"content").digest()).decode().rstrip("=")

HOME = "/usr/lib/python3/dist-packages"
FILES = {
    "/var/lib/dpkg/info/acme:amd64.md5sums": f"{MD5}  usr/share/acme/data.txt\n{MD5}  lib/x/old.so\n{MD5}  usr/share/with  two blanks\n".encode(),
    "/var/lib/dpkg/info/other.list": b"/usr/share/acme/data.txt\n",
    "/var/lib/dpkg/status": f"Package: acme\nConffiles:\n /etc/acme.conf {MD5}\n /etc/gone.conf {MD5} obsolete\n\nPackage: b\n".encode(),
    "/lib/apk/db/installed": f"C:Q1x\nP:busybox\nF:etc\nR:passwd\nZ:Q1{SHA1}\nF:\nR:init\nZ:Q1{SHA1}\n".encode(),
    f"{HOME}/acme-1.0.dist-info/RECORD": f'acme/data.py,sha256={SHA256},7\nacme/none.py,,\n"a,b.py",sha256={SHA256},7\n'.encode(),
}


def list_dir(path: str) -> list[str]:
    return sorted({name[len(path) + 1 :].split("/")[0] for name in FILES if name.startswith(path + "/")})


CASES = [
    ("/usr/share/acme/data.txt", ("md5", MD5, "dpkg acme")),
    ("/usr/lib/x/old.so", ("md5", MD5, "dpkg acme")),
    ("/usr/share/with  two blanks", ("md5", MD5, "dpkg acme")),
    ("/etc/acme.conf", ("md5", MD5, "dpkg acme")),
    ("/etc/passwd", ("sha1", hashlib.sha1(b"content").hexdigest(), "apk busybox")),
    ("/init", ("sha1", hashlib.sha1(b"content").hexdigest(), "apk busybox")),
    ("/usr/lib/python3/dist-packages/acme/data.py", ("sha256", hashlib.sha256(b"content").hexdigest(), "pip acme-1.0")),
    ("/usr/lib/python3/dist-packages/a,b.py", ("sha256", hashlib.sha256(b"content").hexdigest(), "pip acme-1.0")),
]


@pytest.mark.parametrize(("path", "said"), CASES, ids=[path for path, _ in CASES])
def test_database_speaks_of_the_file(path: str, said: tuple[str, str, str]) -> None:
    assert {key: tuple(value) for key, value in shipped([path], FILES.get, list_dir).items()} == {path: said}


@pytest.mark.parametrize("path", ["/srv/app/.env", "/etc/gone.conf", "/usr/lib/python3/dist-packages/acme/none.py", "/usr/share/acme", "/other.so"])
def test_file_of_no_package_is_not_spoken_of(path: str) -> None:
    assert shipped([path], FILES.get, list_dir) == {}


def test_damaged_databases_say_nothing_and_raise_nothing() -> None:
    damaged = {name: data[::-1] + b"\xff\0\n" for name, data in FILES.items()}
    assert shipped([path for path, _ in CASES], damaged.get, list_dir) == {}
    assert shipped([path for path, _ in CASES], lambda path: None, lambda path: []) == {}
