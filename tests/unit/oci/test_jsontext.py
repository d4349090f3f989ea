"""Beside `json.loads`: the same values, the same errors; and that package is not loaded for a text without fault."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import wherry
from wherry.oci.jsontext import parse

FAULTS = ["", "{", "[", '{"a": "x', '{"a": }', '{"a": 1}x', '{"a" 1}', '{"a": 1,}', "[1,", '"\\u12"', '"\x01"', "tru",
          "-", "\ufeff{}", "\udc80", "9" * 5000]  # fmt: skip


def outcome(read: Any, data: bytes | str) -> tuple[str, str]:
    """repr, since NaN is not equal to itself; or the error."""
    try:
        return "value", repr(read(data))
    except (ValueError, RecursionError) as error:
        return type(error).__name__, str(error)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES, st.booleans(), st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"]))
def test_what_json_wrote_is_read_as_json_reads_it(value: object, ascii_only: bool, encoding: str) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=1)
    assert outcome(parse, text) == outcome(json.loads, text)
    data = f" \n{text}\r\t".encode(encoding, "surrogatepass")
    assert outcome(parse, data) == outcome(json.loads, data)


@given(st.text(alphabet='{}[]:,"\\u0dntrfalsueNIy -+.eE1\n\x01é') | st.text(), st.binary())
def test_nonsense_is_refused_in_the_same_words(text: str, data: bytes) -> None:
    assert outcome(parse, text) == outcome(json.loads, text)
    assert outcome(parse, data) == outcome(json.loads, data)


@pytest.mark.parametrize("text", [*FAULTS, "[" * 100_000])
def test_faults_have_the_words_of_json(text: str) -> None:
    assert outcome(parse, text) == outcome(json.loads, text)
    assert outcome(parse, text)[0] != "value"


def test_where_json_is_not_loaded_yet_it_is_so_for_a_fault_alone() -> None:
    """One text in each process: the first fault loads it."""
    source = str(Path(wherry.__file__).parent.parent)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from wherry.oci.jsontext import parse; text = sys.argv[2]\n"
        "try: parse(text)\nexcept ValueError as error: print(error, end='')\nprint('', 'json' in sys.modules)"
    )

    def said(text: str) -> str:
        command = [sys.executable, "-I", "-S", "-c", code, source, text]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    assert said('{"a": [1, -2.5e3, true, null, "\\u00e9", NaN]} \n') == " False\n"
    for text in ("", "{", '{"a": "x', '{"a" 1}', '"\\u12"', '{"a": 1}x'):
        assert said(text) == f"{outcome(json.loads, text)[1]} True\n"
