"""Each check on values it must speak against and values it must leave alone, as tables."""

from __future__ import annotations

import hashlib
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapscan.detect.checks import CHECKS, CHECKSUMS
from snapscan.detect.checks.checksum import crc32_base62
from snapscan.detect.checks.entropy import bits_per_character
from snapscan.detect.examples import fill
from snapscan.model.finding import Evidence
from snapscan.model.rule import Rule

RULE = Rule("a.b", "A", "secret", "high", "a", "W.", "F.", [], [], entropy_at_least=3.0)


def says(check: str, value: str, window: bytes = b"") -> Evidence | None:
    return {**CHECKS, **CHECKSUMS}[check](fill(value, "seed"), window, RULE)


@pytest.mark.parametrize(
    ("check", "value"),
    [
        ("entropy", "aaaabbbbaaaabbbb"),
        ("placeholder", "xxxxxxxxxxxxxxxx"),
        ("placeholder", "AKIAIOSFODNN7EXAMPLE"),
        ("placeholder", "your_api_key"),
        ("placeholder", "<token>"),
        ("placeholder", "********"),
        ("placeholder", "%TOKEN%"),
        ("placeholder", "@TOKEN@"),
        ("placeholder", "%s"),
        ("placeholder", "XXXX-XXXX-XXXX"),
        ("placeholder", "dummy-token"),
        ("placeholder", "abc..."),
        ("reference", "$${SECRET}"),
        ("reference", "$(cat /run/secret)"),
        ("reference", "$SECRET"),
        ("reference", "$secret"),
        ("reference", "{{ vault_secret }}"),
        ("reference", "os.environ['SECRET']"),
        ("reference", "arn:aws:secretsmanager:eu-west-1:1:secret:a"),
        ("reference", "<%= secret %>"),
        ("reference", "vault:secret/data/app#key"),
        ("sequence", "abcdefghijklmnop"),
        ("sequence", "0123456789abcdef"),
        ("sequence", "aaaaaaaaaaaaaaaa"),
        ("sequence", "abcabcabcabc"),
        ("sequence", "1010100100101101"),
        ("sequence", "MyQwertyUiop1"),
        ("identifier", "settings.DATABASE_PASSWORD"),
        ("identifier", "getPassword()"),
        ("identifier", "self->password,"),
        ("identifier", "DB_PASSWORD"),
        ("identifier", "user_password"),
        ("identifier", "userPassword;"),
        ("identifier", "/etc/ssl/private/key"),
        ("identifier", "./conf/secret.txt"),
        ("identifier", "https://a.b/c"),
        ("identifier", "secret.yml"),
        ("uuid", "${uuid}"),
        ("hash", "${hex:32}"),
        ("hash", "${HEX:64}"),
        ("word", "password"),
        ("word", "changeme"),
        ("word", "mysecret"),
        ("word", "Passwort"),
        ("word", "1234"),
        ("mixed", "abcdefgh"),
        ("mixed", "48151623"),
        ("uncertain", "required"),
        ("jwt", "eyJ${base62:20}.eyJ${base62:20}.${base62:43}"),
        ("basic-auth", "${b64:nopair}"),
        ("basic-auth", "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        ("basic-auth", "not base64!"),
        ("bitlocker", "111111-222222-333333-444444-555555-666666-777777-888888"),
        ("github", "ghp_${base62:36}"),
        ("npm", "npm_${base62:36}"),
        ("grafana", "glsa_${base62:32}_00000000"),
        ("gitlab", "glpat-${base62:37}.110000000"),
    ],
)
def test_check_speaks_against(check: str, value: str) -> None:
    said = says(check, value)
    assert said is not None
    assert said.weight < 0


@pytest.mark.parametrize(
    ("check", "value"),
    [
        ("entropy", "${base62:32}"),
        ("placeholder", "${base62:40}"),
        ("placeholder", "S3cure-but-odd"),
        ("placeholder", "hunter2"),
        ("reference", "$6\\x24${base62:8}\\x24${base62:86}"),
        ("reference", "$2b$12\\x24${base62:53}"),
        ("reference", "Sup3r$ecret"),
        ("reference", "$ecret1"),
        ("sequence", "${base62:40}"),
        ("sequence", "${hex:64}"),
        ("sequence", "hunter2"),
        ("identifier", "${password}"),
        ("identifier", "hunter2"),
        ("identifier", "Tr0ub4dor&3"),
        ("identifier", "correct-horse-7"),
        ("uuid", "${hex:32}"),
        ("hash", "${base62:40}"),
        ("hash", "${hex:33}"),
        ("word", "${password}"),
        ("word", "hunter2"),
        ("mixed", "hunter2"),
        ("uncertain", "changeme"),
        ("uncertain", "hunter2"),
        ("jwt", '${b64url:{"alg":"HS256"\\}}.${b64url:{"user":"${lower:9}"\\}}.${base62:43}'),
        ("basic-auth", "${b64:robot:${password}}"),
        ("bitlocker", "${bitlocker:8}"),
        ("github", "ghp_${github_checksum:30}"),
        ("github", "github_pat_${base62:22}_${base62:59}"),
        ("npm", "npm_${npm_checksum:30}"),
        ("gitlab", "glpat-${base62:20}"),
        ("aws-account", "${akia:AKIA}"),
        ("aws-account", "AKIAJ${base32:15}"),
    ],
)
def test_check_leaves_alone(check: str, value: str) -> None:
    said = says(check, value)
    assert said is None or said.weight >= 0


def test_password_before_a_reserved_host_is_an_example() -> None:
    assert says("example-host", "geheim1", b"https://u:geheim1@www.example.com/") is not None
    assert says("example-host", "geheim1", b"https://u:geheim1@www.example.company/") is None
    assert says("example-host", "geheim1", b"https://u:geheim1@git.internal.lan/") is None


def test_npm_checksum_with_the_prefix_covered_is_right_too() -> None:
    body = b"npm_" + fill("${base62:30}", "seed")
    said = CHECKSUMS["npm"](body + crc32_base62(body), b"", RULE)
    assert said is not None
    assert said.outcome == "right"


def test_account_is_decoded() -> None:
    """AKIA and sixteen digits of Base32 whose upper bits hold 1 and then the account."""
    number = (1 << 47 | 123456789012 << 7) << 32
    digits = "".join("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[number >> shift & 31] for shift in range(75, -1, -5))
    said = CHECKS["aws-account"](b"AKIA" + digits.encode(), b"", RULE)
    assert said is not None
    assert said.note == "account 123456789012"


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("${pem:RSA PRIVATE KEY}", "plain"),
        ("${pem:OPENSSH PRIVATE KEY}", "plain"),
        ("${pem:ENCRYPTED PRIVATE KEY}", "encrypted"),
        ("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n${base64:64}", "encrypted"),
        (
            "-----BEGIN OPENSSH PRIVATE KEY-----\n${b64:openssh-key-v1\\x00\\x00\\x00\\x00\\x0aaes256-ctr\\x00\\x00\\x00\\x06bcrypt${hex:20}}\n",
            "encrypted",
        ),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\n${base64:64}\n", "no-magic"),
        ("-----BEGIN PRIVATE KEY-----\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n", "no-body"),
    ],
)
def test_armour_tells_whether_a_passphrase_guards_it(text: str, outcome: str) -> None:
    said = says("pem", text)
    assert said is not None
    assert said.outcome == outcome


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_no_check_raises_on_any_bytes(value: bytes, window: bytes) -> None:
    for check in (*CHECKS.values(), *CHECKSUMS.values()):
        check(value, window, RULE)


@given(st.binary(max_size=2000))
def test_entropy_lies_between_none_and_eight_bits(value: bytes) -> None:
    assert -1e-9 <= bits_per_character(value) <= 8.0


def test_entropy_of_known_values() -> None:
    assert bits_per_character(b"") == 0
    assert bits_per_character(b"aaaa") == 0
    assert bits_per_character(b"abcd") == pytest.approx(2)
    assert bits_per_character(b"ab" * 5000) == pytest.approx(1)


def test_ordinary_key_is_not_a_published_one() -> None:
    assert says("published", "${pem:RSA PRIVATE KEY}") is None
    assert says("published", "no key at all") is None


def test_published_key_is_known_however_it_is_wrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    key = fill("${pem:EC PRIVATE KEY}", "published")
    body = b"".join(key.splitlines()[1:-1])
    known = frozenset((hashlib.sha256(body[:128]).hexdigest()[:32],))
    monkeypatch.setattr(sys.modules["snapscan.detect.checks.published"], "_GNUTLS_SELF_TEST", known)
    for text in (key, key.replace(b"\n", b"\r\n"), key.replace(b"\n", b"\\n")):
        said = CHECKS["published"](text, b"", RULE)
        assert said is not None
        assert said.weight < -4
