"""Reading the small files that options name: variables, labels."""

from wherry.errors import InvalidArgument


def read_text(path: str) -> str:
    """The text of a file, without a byte order mark. InvalidArgument: it cannot be read, or is not UTF-8."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            return file.read()
    except OSError as error:
        raise InvalidArgument(f"cannot read {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InvalidArgument(f"{path} is not UTF-8 text") from None
