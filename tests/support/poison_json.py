"""Texts that are no JSON object in UTF-8, by the kinds of faults that producers make."""

from collections.abc import Callable

Make = Callable[[bytes], bytes]


def _is(text: bytes) -> Make:
    return lambda _: text


def _price(raw: bytes) -> Make:
    """The good event with another JSON text for its price."""
    return lambda whole: whole.replace(b'"100.5"', raw)


BROKEN_TEXT: tuple[tuple[str, Make], ...] = (
    # the whole record is something else
    ("blanks only", _is(b" \r\n\t ")),
    ("plain words", _is(b"hello")),
    ("a lone null", _is(b"null")),
    ("a lone true", _is(b"true")),
    ("a lone number", _is(b"42")),
    ("a lone text", _is(b'"{}"')),
    ("a list", _is(b"[]")),
    ("a list of events", lambda whole: b"[" + whole + b"]"),
    ("an event as a text", lambda whole: b'"' + whole.replace(b'"', b'\\"') + b'"'),
    ("comma separated values", _is(b"poison,BTCUSD,100.5,1")),
    ("XML", _is(b"<tick><price>1</price></tick>")),
    ("registry frame", lambda whole: b"\x00\x00\x00\x00\x07" + whole),
    ("Python's repr", lambda whole: whole.replace(b'"', b"'")),
    ("UTF-16 with a mark", lambda whole: whole.decode().encode("utf-16")),
    ("UTF-16LE", lambda whole: whole.decode().encode("utf-16-le")),
    ("UTF-16BE", lambda whole: whole.decode().encode("utf-16-be")),
    ("UTF-32LE", lambda whole: whole.decode().encode("utf-32-le")),
    # cut off or too long
    ("an open brace", _is(b"{")),
    ("a closing brace", _is(b"}")),
    ("cut in a name", lambda whole: whole[:5]),
    ("cut behind a colon", lambda whole: whole[: whole.index(b":") + 1]),
    ("cut in a text", lambda whole: whole[:-2]),
    ("cut before the last brace", lambda whole: whole[:-1]),
    ("wrong bracket at the end", lambda whole: whole[:-1] + b"]"),
    ("brace behind it", lambda whole: whole + b"}"),
    ("comma behind it", lambda whole: whole + b","),
    ("words behind it", lambda whole: whole + b" x"),
    ("two events", lambda whole: whole + whole),
    ("two events on two lines", lambda whole: whole + b"\n" + whole),
    ("NUL behind it", lambda whole: whole + b"\x00"),
    ("NUL before it", lambda whole: b"\x00" + whole),
    # punctuation
    ("comma at the end", lambda whole: whole[:-1] + b",}"),
    ("comma at the beginning", lambda whole: b"{," + whole[1:]),
    ("two commas", lambda whole: whole.replace(b",", b",,", 1)),
    ("no comma", lambda whole: whole.replace(b",", b" ", 1)),
    ("no colon", lambda whole: whole.replace(b":", b" ", 1)),
    ("equals sign", lambda whole: whole.replace(b'":', b'"=', 1)),
    ("semicolon", lambda whole: whole.replace(b'","', b'";"', 1)),
    ("name without quotes", lambda whole: whole.replace(b'"price"', b"price")),
    ("name that is a number", lambda whole: whole.replace(b'"price"', b"1")),
    ("name without a value", lambda whole: whole[:-1] + b',"trade_id"}'),
    ("value without a name", lambda whole: whole[:-1] + b',"1"}'),
    ("comment", lambda whole: whole[:-1] + b"/* good */}"),
    ("comment of a line", lambda whole: b"// good\n" + whole),
    # values that are none
    ("NaN", _price(b"NaN")),
    ("-NaN", _price(b"-NaN")),
    ("Infinity", _price(b"Infinity")),
    ("-Infinity", _price(b"-Infinity")),
    ("inf", _price(b"inf")),
    ("None", _price(b"None")),
    ("undefined", _price(b"undefined")),
    ("True", _price(b"True")),
    ("nul", _price(b"nul")),
    ("nullx", _price(b"nullx")),
    ("leading zero", _price(b"01")),
    ("plus sign", _price(b"+1")),
    ("no digit before the point", _price(b".5")),
    ("no digit behind the point", _price(b"5.")),
    ("two points", _price(b"1.2.3")),
    ("two signs", _price(b"--1")),
    ("exponent without digits", _price(b"1e")),
    ("hexadecimal", lambda whole: whole.replace(b'"1"', b"0x1F")),
    ("grouped digits", _price(b"1_000")),
    ("text without quotes", _price(b"abc")),
    ("text in single quotes", _price(b"'1'")),
    ("unknown escape", _price(b'"\\x41"')),
    ("escape cut off", _price(b'"\\u12"')),
    ("escape that is not hexadecimal", _price(b'"\\u12G4"')),
    ("line break in a text", _price(b'"1\n2"')),
    ("tab in a text", _price(b'"1\t2"')),
    ("NUL in a text", _price(b'"1\x002"')),
    ("escape outside of a text", _price(b"\\u0031")),
)
"""Name, how the text is made from that of a good event."""

BROKEN_UTF8: tuple[tuple[str, bytes], ...] = (
    ("byte that is never UTF-8", b"a\xffb"),
    ("continuation without a start", b"a\x80b"),
    ("start without a continuation", b"a\xc3b"),
    ("Latin-1", "größe".encode("latin-1")),
    ("two of three bytes", b"a\xe2\x82b"),
    ("NUL in two bytes", b"a\xc0\x80b"),
    ("slash in three bytes", b"a\xe0\x80\xafb"),
    ("surrogate in three bytes", b"a\xed\xa0\xbdb"),
    ("pair in six bytes", b"a\xed\xa0\xbd\xed\xb8\x80b"),
    ("beyond Unicode", b"a\xf4\x90\x80\x80b"),
    ("five bytes", b"a\xf8\x88\x80\x80\x80b"),
)
"""Name, the bytes of a text."""
