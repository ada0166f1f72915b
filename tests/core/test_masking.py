"""Whatever form a secret comes in, its name stands there instead."""

import base64
import html
import json
from collections.abc import Callable
from urllib.parse import quote, quote_plus, urlencode

import pytest

from src.core.masking import CUT, Mask, forms_of
from src.core.outcome import Json

SECRET = 'p"ä/ss wörd+1\\&'
MARK = "[secret:password]"
Form = Callable[[str], str]
FORMS: dict[str, Form] = {
    "raw": str,
    "in the middle of a text": lambda secret: f"before{secret}after",
    "as JSON": json.dumps,
    "as JSON with its own characters": lambda secret: json.dumps({"x": secret}, ensure_ascii=False),
    "as JSON within JSON": lambda secret: json.dumps(json.dumps(secret)),
    "as Python shows it": repr,
    "in a URL's path": quote,
    "in a URL's query": lambda secret: urlencode({"q": secret}),
    "in a URL, every character": lambda secret: quote(secret, safe=""),
    "in a URL, small digits": lambda secret: quote_plus(secret).replace("%2F", "%2f").replace("%C3", "%c3").lower(),
    "as the name of a host": str.lower,
    "in HTML": html.escape,
    "in base64": lambda secret: base64.b64encode(secret.encode()).decode(),
    "in base64 for URLs": lambda secret: base64.urlsafe_b64encode(secret.encode()).decode(),
    "in base64 without its end": lambda secret: base64.b64encode(secret.encode()).decode().rstrip("="),
    "in base64, one byte in": lambda secret: base64.b64encode(f"u{secret}".encode()).decode(),
    "in base64, two bytes in": lambda secret: base64.b64encode(f"us{secret}x".encode()).decode(),
    "in base64, with a user, as Basic says it": lambda secret: base64.b64encode(f"user:{secret}".encode()).decode(),
    "in base64, over lines": lambda secret: base64.encodebytes(f"{'x' * 50}{secret}".encode()).decode(),
    "in base64, over lines with carriage returns": lambda secret: (
        base64.encodebytes(f"{'x' * 50}{secret}".encode()).decode().replace("\n", "\r\n")
    ),
    "in hexadecimal digits": lambda secret: secret.encode().hex(),
    "in large hexadecimal digits": lambda secret: secret.encode().hex().upper(),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("secret", ["correct horse", "Tok-123456", "a/b+c?d=e&f", "x" * 300, "ünï-cödé-paß", "123456"])
def test_a_secret_is_masked_in_every_form(secret: str, form: Form) -> None:
    mask = Mask({"password": secret})

    masked = mask.text(form(secret))

    assert MARK in masked
    assert not any(known in masked for known in forms_of(secret))


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_a_secret_is_masked_wherever_it_stands_in_a_value(form: Form) -> None:
    mask = Mask({"password": "tok-123456"})
    written = form("tok-123456")

    masked = mask.value({"a": [1, {written: None}], "b": written, "c": True})

    assert json.dumps(masked).count(MARK) == 2
    assert "tok-123456" not in json.dumps(masked)


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_json_within_json_is_masked(levels: int) -> None:
    written = SECRET
    for _ in range(levels):
        written = json.dumps({"inner": written})

    assert MARK in Mask({"password": SECRET}).text(written)


def test_a_number_is_masked_as_a_number_and_in_texts() -> None:
    mask = Mask({"pin": 12345678, "port": 5432, "is_on": True})

    assert mask.value([12345678, 12345678.0, "pin 12345678", 5432, True, 1]) == [
        "[secret:pin]", "[secret:pin]", "pin [secret:pin]", 5432, True, 1,
    ]  # fmt: skip


def test_the_longer_of_two_secrets_is_masked_whole() -> None:
    mask = Mask({"short": "password", "long": "password-of-acme", "word": "secret"})

    assert mask.text("password-of-acme password secret") == "[secret:long] [secret:short] [secret:word]"


@pytest.mark.parametrize("value", ["", "12345", 99999, None, True, 1.5])
def test_what_is_too_short_or_no_secret_is_not_looked_for(value: Json) -> None:
    mask = Mask({"x": value})

    assert not mask
    assert mask.text(f"see {value}") == f"see {value}"


def test_the_lines_of_a_private_key_are_masked_one_by_one() -> None:
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0\nBAQEFAASCBKcwggSjAgEAAo\n-----END KEY-----\n"
    mask = Mask({"key": key})

    assert mask.text("line: BAQEFAASCBKcwggSjAgEAAo") == "line: [secret:key]"
    assert mask.text("-----BEGIN KEY-----") == "-----BEGIN KEY-----"


@pytest.mark.parametrize("shown", range(4, 13))
def test_what_stands_of_a_secret_before_a_cut_is_masked(shown: int) -> None:
    mask = Mask({"password": "correct horse"})

    masked = mask.text(f"logs {'correct horse'[:shown]}{CUT}1,000 more characters]")

    assert masked == f"logs {MARK}{CUT}1,000 more characters]"


@pytest.mark.parametrize("shown", range(6, 13))
def test_the_beginning_of_a_secret_at_the_end_of_an_excerpt_is_masked(shown: int) -> None:
    assert Mask({"password": "correct horse"}).excerpt(f"400: {'correct horse'[:shown]}") == f"400: {MARK}"


def test_what_is_found_is_told_by_name() -> None:
    mask = Mask({"password": "correct horse", "token": "tok-123456", "word": "secret"})

    assert mask.names_in("[secret:token] and correct+horse") == {MARK}
    assert mask.count == 3


def test_a_value_without_a_secret_is_not_even_copied() -> None:
    value = {"a": [1, 2, {"b": "nothing\nhere"}]}

    assert Mask({"password": "correct horse"}).value(value) is value


def test_nothing_is_looked_for_where_there_are_no_secrets() -> None:
    assert not Mask({})
    assert Mask({}).text("anything") == "anything"


@pytest.mark.timeout(60)
def test_a_megabyte_of_lines_is_searched_at_once_for_hundreds_of_forms() -> None:
    mask = Mask({f"key_{number}": f"value/{number}&{number:040}" for number in range(60)})
    secret = f"value/7&{7:040}"
    lines = "a line that says nothing\n" * 40_000

    assert mask.value([lines]) == [lines]
    assert mask.value([f"{lines}{secret[:9]}\n{secret[9:]}"]) == [f"{lines}[secret:key_7]"]
