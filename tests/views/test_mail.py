from __future__ import annotations

import mailbox
import random
from email.message import EmailMessage

import pytest

from snapscan.views.mail import Mail


def message(number: int = 0, text: str = "plain text", attachment: bytes = b"", encoding: str = "base64") -> EmailMessage:
    made = EmailMessage()
    made["Return-Path"] = "<a@example.org>"
    made["From"], made["To"], made["Subject"] = "a@example.org", "b@example.org", f"subject {number}"
    made.set_content(text, cte=encoding)
    if attachment:
        made.add_attachment(attachment, maintype="application", subtype="octet-stream", filename=f"file {number}.bin")
    return made


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_encoded_parts_of_a_message_are_given(look, text, line_end):
    data = message(1, "grüße und das Wort = passwort\n" * 50, text, "quoted-printable").as_bytes().replace(b"\n", line_end)
    seen = look(data)
    assert seen.named[b"file 1.bin"] == text
    body = seen.named[b"part"].replace(b"\r\n", b"\n")
    assert body == ("grüße und das Wort = passwort\n" * 50).encode()[: len(body)] and len(body) >= 1600
    assert (seen.fate.outcome, seen.fate.reason) == ("opened", "")


def test_a_long_quoted_printable_body_is_joined_over_blocks(look):
    content = "".join(f"zeile {n}: größe {n * n} = wert\n" for n in range(30_000))
    seen = look(message(1, content, encoding="quoted-printable").as_bytes())
    assert seen.named[b"part"].rstrip(b"\n") == content.rstrip("\n").encode()


def test_an_mbox_is_read_message_by_message(look, tmp_path, text):
    box = mailbox.mbox(tmp_path / "box")
    contents = [text[n : n + 1000 * n] for n in range(1, 40)]
    for number, content in enumerate(contents):
        box.add(mailbox.mboxMessage(message(number, "plain", content)))
    box.close()
    seen = look((tmp_path / "box").read_bytes())
    assert [seen.named[b"file %d.bin" % number] for number in range(39)] == contents
    assert sum(name.startswith(b"part") for name in seen.named) == 39
    assert (seen.fate.outcome, seen.fate.reason) == ("opened", "")


def test_a_message_without_parts_and_one_in_another_are_read(look):
    assert look(message(1, "the whole body\n").as_bytes()).named == {b"part": b"the whole body\n"}
    outer = message(2, "outer\n")
    outer.add_attachment(message(3, "inner\n", b"\x00\xffdeep"))
    assert {name: content for name, content in look(outer.as_bytes()).named.items() if b"#" not in name} == {
        b"part": b"outer\n",
        b"file 3.bin": b"\x00\xffdeep",
    }
    assert look(outer.as_bytes()).named[b"part#2"] == b"inner\n"


def test_an_archive_attached_is_opened(look):
    import gzip

    seen = look(message(1, "x", gzip.compress(b"deep")).as_bytes())
    assert seen.members[(("mail", b"file 1.bin"), ("gzip", b""))] == b"deep"


def test_plain_parts_are_left_to_the_sweep(look):
    seen = look(message(1, "plain\n-- \nsignature\n", encoding="7bit").as_bytes())
    assert seen.members == {} and seen.fate.outcome == "opened"


def test_a_cut_message_gives_what_is_there(look, text):
    data = message(1, "plain", text).as_bytes()
    for cut in (len(data) // 2, len(data) // 2 + 1, len(data) // 2 + 2, len(data) // 2 + 3):
        content = look(data[:cut]).named[b"file 1.bin"]
        assert text.startswith(content) and len(content) > len(text) // 3


def test_limits_stop_a_mailbox(look, text):
    data = message(1, "plain", text).as_bytes()
    assert look(data, decoded_bytes=1000).fate.reason == "expansion-limit"
    assert look(data, members=1).fate.reason == "member-limit"


def test_random_damage_never_raises(look):
    dice = random.Random(4)
    good = message(1, "grüße = \n" * 20, b"\xff" * 500, "quoted-printable").as_bytes()
    for _ in range(400):
        data = bytearray(good)
        for _ in range(dice.randint(1, 10)):
            data[dice.randrange(30, len(data))] = dice.choice(b'=-\n\r"; \x00\xffA')
        look(bytes(data[: dice.randrange(60, len(data))]))


def test_recognition_wants_headers():
    for head in (
        b"From MAILER-DAEMON Mon Jan  1 00:00:00 2024\nDate: x\nFrom: a\n",
        b"Return-Path: <a@b>\nDelivered-To: c\n",
        b"Received: from x\n\tby y\n",
    ):
        assert Mail().recognise(head)
    for head in (b"From here to there\nit is far\n", b"Subject: a note\nwithout more\n", b"", b"From ", b"Received"):
        assert not Mail().recognise(head)
