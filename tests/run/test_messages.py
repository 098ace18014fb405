"""What crosses a pipe arrives as it was sent, whatever an image puts into names."""

from __future__ import annotations

from snapscan.model.view import ViewRow
from snapscan.model.volume import Gap
from snapscan.run.messages import Answer, Give, Part, RangeTask, Stop, encode, for_foreman, for_worker


def test_messages_come_back_as_they_were() -> None:
    for message in (Give(RangeTask("1:range:0-5", 1, 0, 5)), Stop()):
        assert for_worker(encode(message)) == message
    answer = Answer(Part("t", 0, True, gaps=(Gap("unmapped", "here"),)))
    assert for_foreman(encode(answer)) == answer


def test_text_that_is_not_unicode_does_not_stop_a_worker() -> None:
    part = Part("t", 0, True, notes=("odd \udcff name",), views=(ViewRow("l\udc80", "zip", 1, 0, "refused", "damaged", "x"),))
    got = for_foreman(encode(Answer(part))).part
    assert got is not None
    assert got.notes == ("odd \\xff name",)
    assert got.views[0].locator == "l\\x80"
