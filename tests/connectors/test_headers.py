"""Headers as the lake keeps them, and those of a record that is sent again."""

import pytest

from connectors import headers
from connectors.errors import TicklakeError

OWN = [("trace", b"\xff\x00"), ("trace", b""), ("größe", b"1")]


def test_order_repeats_and_bytes_are_kept() -> None:
    """There and back again."""
    text = headers.packed(OWN)

    assert text == '[["trace","/wA="],["trace",""],["gr\\u00f6\\u00dfe","MQ=="]]'
    assert headers.unpacked(text) == OWN


def test_no_headers_are_none() -> None:
    """A dead letter of before has none; a header without a value gets an empty one."""
    assert headers.unpacked(None) == []
    assert headers.unpacked(headers.packed([("a", None)])) == [("a", b"")]


@pytest.mark.parametrize("text", ["{", "[1]", '[["a","%"]]', '{"a":"b"}', '[["a",1]]'])
def test_a_text_that_is_none_is_an_error_of_one_line(text: str) -> None:
    """It says what is needed."""
    with pytest.raises(TicklakeError, match=r"a JSON list of \[name, base64 of value\] is needed"):
        headers.unpacked(text)


def test_a_record_that_is_sent_again_says_of_what_and_how_often() -> None:
    """The newest two of these headers replace those of the time before."""
    first = headers.sent_again(OWN, "t:0:1", 1)
    second = headers.sent_again(first, "t:0:7", 2)

    assert first == [*OWN, ("ticklake-dead-letter", b"t:0:1"), ("ticklake-attempt", b"1")]
    assert second == [*OWN, ("ticklake-dead-letter", b"t:0:7"), ("ticklake-attempt", b"2")]
