from __future__ import annotations

import base64
import gzip
import random
import textwrap
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snapscan.views.encoded import LEAST_CHARACTERS, LEAST_LINE, encoded_runs

SECRET = b"user=admin\npassword=correct horse battery staple\nhost=db.example.org\n"


def runs(data: bytes, kind: str) -> list[bytes]:
    return [run.decoded for run in encoded_runs(data) if run.kind == kind]


@pytest.mark.parametrize("before_bytes", range(70))
def test_a_line_of_the_least_length_is_found_wherever_it_begins(before_bytes):
    value = base64.b64encode(SECRET[:48])
    assert len(value) == LEAST_CHARACTERS
    data = b" " * before_bytes + value + b'"'
    (run,) = encoded_runs(data)
    assert (run.start, run.end, run.kind, run.decoded) == (before_bytes, before_bytes + 64, "base64", SECRET[:48])


@pytest.mark.parametrize("width", [LEAST_LINE, 64, 70, 76, 100])
@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\n    ", b"\\n", b" \\\n"])
@pytest.mark.parametrize("before_bytes", [0, 1, 5, 13])
def test_wrapped_lines_are_one_run(width, line_end, before_bytes):
    content = SECRET * 9
    text = base64.b64encode(content).decode()
    wrapped = line_end.join(line.encode() for line in textwrap.wrap(text, width))
    data = b"k" * before_bytes + b": " + wrapped + b"\nnext: value\n"
    assert runs(data, "base64") == [content]


def test_what_follows_a_run_is_no_part_of_it():
    value = base64.b64encode(SECRET)
    data = b"data: " + value + b"\nother\n"
    (run,) = encoded_runs(data)
    assert run.decoded.startswith(SECRET) and data[run.start : run.end].startswith(value)


def test_pem_mime_data_urls_tokens_and_powershell_are_found():
    pem = b"-----BEGIN THING-----\n" + base64.encodebytes(SECRET * 3).replace(b"\n", b"", 0) + b"-----END THING-----\n"
    assert runs(pem, "base64") == [SECRET * 3]
    inner = gzip.compress(SECRET)
    assert runs(b"<a href='data:application/gzip;base64," + base64.b64encode(inner) + b"'>", "base64") == [inner]
    claims = b'{"iss":"https://example.org","password":"%s"}' % (b"x>?~" * 9)
    token = b"eyJhbGciOiJub25lIn0." + base64.urlsafe_b64encode(claims).rstrip(b"=") + b".c2ln"
    assert runs(token, "base64") == [claims]
    command = "Write-Host 'the password is swordfish'".encode("utf-16-le")
    assert runs(b"powershell -EncodedCommand " + base64.b64encode(command), "base64") == [command]


def test_a_string_s_escaped_line_end_is_no_part_of_the_value():
    data = b'{"key": "-----BEGIN X-----\\n' + base64.b64encode(SECRET) + b'\\n-----END X-----\\n"}'
    assert runs(data, "base64") == [SECRET]


def test_hexadecimal_digits_are_decoded_as_such():
    assert runs(b"value " + SECRET.hex().encode() + b" end", "hex") == [SECRET]
    assert runs(SECRET.hex().upper().encode(), "hex") == [SECRET]
    dump = "\n".join(textwrap.wrap((SECRET * 4).hex(), 60)).encode()
    assert runs(dump, "hex") == [SECRET * 4]


def test_digests_and_paths_are_left_out():
    dice = random.Random(9)
    lines = [dice.randbytes(32).hex().encode() + b"  ./file%d" % number for number in range(1000)]
    lines += [b'"integrity": "sha512-' + base64.b64encode(dice.randbytes(64)) + b'",' for _ in range(1000)]
    lines += [b"/usr/lib/python3/dist-packages/some_long_package_name/another-module/and_the_file" for _ in range(100)]
    assert len(list(encoded_runs(b"\n".join(lines)))) < 10


def test_percent_encoding_is_decoded_token_by_token():
    data = b"GET /login?next=%2Fhome%3Fpassword%3Dhunter%21%20two HTTP/1.1\nratio 5%20 only once\n"
    assert runs(data, "percent") == [b"/login?next=/home?password=hunter! two"]


def test_escapes_are_decoded_string_by_string():
    data = b'{"url": "postgres://u:p\\u0040ss@host/db?a=1\\u0026b=2", "c": "caf\\u00e9 \\ud83d\\ude00\\n\\"q\\"", "d": "plain"}'
    assert runs(data, "escapes") == [b"postgres://u:p@ss@host/db?a=1&b=2", 'café 😀\n"q"'.encode()]
    assert runs(b"s = '\\x70\\x61\\x73\\x73=x'\n", "escapes") == [b"s = 'pass=x'"]
    assert runs(b"alone \\ud83d here", "escapes") == ["alone \ufffd here".encode()]


def test_values_of_a_kubernetes_secret_keep_their_names():
    manifest = b"apiVersion: v1\nkind: Secret\nmetadata:\n  name: db\ndata:\n  password: c3dvcmRmaXNo\n  user.name: YWRtaW4xMjM=\ntype: Opaque\n"
    assert runs(manifest, "secret-value") == [b"password=swordfish", b"user.name=admin123"]
    json_form = b'{"kind":"Secret","data":{"password":"c3dvcmRmaXNo","b":"YWRtaW4xMjM="},"type":"Opaque"}'
    assert runs(json_form, "secret-value") == [b"password=swordfish", b"b=admin123"]
    assert runs(manifest.replace(b"kind: Secret", b"kind: ConfigMap"), "secret-value") == []


def test_a_run_at_both_ends_of_the_data_is_found():
    value = base64.b64encode(SECRET * 2).rstrip(b"=")
    assert [run[:3] for run in encoded_runs(value)] == [(0, len(value), "base64")]
    assert list(encoded_runs(b"")) == [] and list(encoded_runs(b"short")) == []


@pytest.mark.parametrize(
    "unit",
    [
        b"A",
        b"A" * 63 + b"-/",
        b"%41",
        b"\\u0041",
        b"\\x41",
        b"\\",
        b"-_/+",
        b"A" * 64 + b"\n",
        b"kind: Secret\n",
        b"a" * 40 + b"\n",
        b"%",
        b'"\\u0041',
    ],
)
def test_dense_input_takes_time_that_grows_with_its_length(unit):
    data = unit * ((1 << 20) // len(unit))
    begun = time.monotonic()
    for _ in encoded_runs(data):
        pass
    assert time.monotonic() - begun < 5


@settings(deadline=None, max_examples=150)
@given(
    st.lists(
        st.sampled_from([b"A", b"=", b"%4", b"1", b"\\u00", b"\\", b"\n", b"kind: Secret", b"  k: QUJDREVG\n", b"Zm9v" * 20, b"\xff", b"-", b'"'])
    ).map(b"".join)
)
def test_nothing_raises_and_places_are_inside(data):
    for run in encoded_runs(data):
        assert 0 <= run.start < run.end <= len(data)


@settings(deadline=None, max_examples=100)
@given(content=st.binary(min_size=300, max_size=2000), before=st.binary(max_size=40))
def test_whatever_was_encoded_comes_back(content, before):
    content = b"\xff" + content  # zeros alone are written AAAA, which hexadecimal digits are too
    assert content in runs(before + b" " + base64.b64encode(content) + b" x", "base64")
