"""Reading the small files that options name: variables, labels."""

from wherry.errors import InvalidArgument, NotFound


def read_text(path: str) -> str:
    """The text of a file, without a byte order mark. NotFound; InvalidArgument: it is not UTF-8."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            return file.read()
    except FileNotFoundError:
        raise NotFound(f"no such file: {path}") from None
    except UnicodeDecodeError:
        raise InvalidArgument(f"{path} is not UTF-8 text") from None
