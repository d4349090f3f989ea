"""Reading the JSON that clients send: each field's form in a table, every fault gathered, then raised once. Pure."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from wherry.errors import InvalidArgument

Form = Callable[[Any], bool]
_MOST_SHOWN: Final = 5
_INT64: Final = 2**63


def is_text(value: Any) -> bool:
    return isinstance(value, str) and "\0" not in value


def is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -_INT64 <= value < _INT64


def is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(is_text(item) for item in value)


def is_command(value: Any) -> bool:
    """A list of words; one text is the command's only word."""
    return is_text(value) or is_texts(value)


def is_text_map(value: Any) -> bool:
    return isinstance(value, dict) and all(is_text(item) for item in value.values())


def is_object(value: Any) -> bool:
    return isinstance(value, dict)


def is_size(value: Any) -> bool:
    """[height, width]."""
    return (
        isinstance(value, list) and len(value) == 2 and all(is_number(item) and 0 <= item <= 0xFFFF for item in value)
    )


def is_objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


_WORDS: Final[dict[Form, str]] = {
    is_text: "a text without NUL",
    is_flag: "true or false",
    is_number: "a whole number of 64 bits",
    is_texts: "a list of texts",
    is_command: "a list of texts",
    is_text_map: "an object of texts",
    is_object: "an object",
    is_objects: "a list of objects",
    is_size: "[height, width]",
}


def checked(document: Any, forms: Mapping[str, tuple[Form, Any]], what: str) -> dict[str, Any]:
    """The fields that ``forms`` names, each in its form; absent and null ones get the form's default. Others are
    dropped: clients of newer APIs send what this one does not know. InvalidArgument names every wrong field."""
    if not isinstance(document, Mapping):
        raise InvalidArgument(f"invalid {what}: an object is wanted")
    result: dict[str, Any] = {}
    faults: list[str] = []
    for name, (form, default) in forms.items():
        value = document.get(name)
        if value is None:
            # A default that can be changed must not be shared between documents.
            result[name] = default.copy() if isinstance(default, dict | list) else default
        elif form(value):
            result[name] = [value] if form is is_command and isinstance(value, str) else value
        else:
            faults.append(f"{name} must be {_WORDS[form]}")
    if faults:
        more = f" and {len(faults) - _MOST_SHOWN} more" if len(faults) > _MOST_SHOWN else ""
        raise InvalidArgument(f"invalid {what}: {'; '.join(faults[:_MOST_SHOWN])}{more}")
    return result
