"""Names of containers: which are valid, and the ones made up when none is given. Pure; randomness is a parameter."""

import random
import re
from collections.abc import Callable
from typing import Final

from wherry.errors import AlreadyExists, InvalidArgument

_VALID: Final = re.compile(r"/?[a-zA-Z0-9][a-zA-Z0-9_.-]*", re.ASCII)
_LONGEST: Final = 255

_ADJECTIVES: Final = (
    "able airy amber ample apt avid blithe bold brave breezy bright brisk calm candid careful cheery civil clean "
    "clear clever cosy crisp daring dapper deft eager early earnest easy fair fleet fluent fond frank free fresh "
    "gentle glad golden good grand handy happy hardy honest humble jolly jovial keen kind light lively loyal "
    "lucid lucky mellow merry mild modest neat nimble noble patient placid plucky polite proud quick quiet rapid "
    "ready robust rosy serene sharp silent silver sleek smart snug sober solid spry steady sturdy sunny swift "
    "tender tidy trim true trusty vivid warm wary wise witty zesty"
).split()
# People of boats, charts, engines and calculation.
_SURNAMES: Final = (
    "amundsen anning archimedes babbage baret beaufort blackwell boole bowditch brunel byron cabot carson cayley "
    "chichester clarke cook curie dampier darwin davis drake earhart ericson euler faraday fitzroy flinders "
    "franklin frobisher fulton galileo galois gauss germain gray halley hamilton harrison herschel hertz "
    "hollerith hooke hopper hudson humboldt huygens johnson jones kelvin kepler kidd knox lamarr laplace leibniz "
    "lovelace magellan marconi maury maxwell meitner mercator morland napier nansen newton noether pascal peary "
    "plimsoll polo ptolemy pytheas raleigh rennie ross scott shackleton shannon slocum somerville stephenson "
    "stevenson sverdrup tasman telford thales torricelli turing vespucci vinci volta watt weddell whipple wren "
    "zheng zuse"
).split()


def check(name: str) -> str:
    """The name without its leading slash. InvalidArgument: docker's rule for names is broken."""
    if len(name) > _LONGEST or not _VALID.fullmatch(name):
        shown = name if len(name) <= 80 else name[:80] + "..."
        allowed = "only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
        if len(name) > _LONGEST:
            allowed += f", at most {_LONGEST} characters"
        raise InvalidArgument(f"Invalid container name ({_printable(shown)}), {allowed}")
    return name.removeprefix("/")


def _printable(text: str) -> str:
    return text if text.isprintable() else ascii(text)[1:-1]


def invent(rng: random.Random, taken: Callable[[str], bool]) -> str:
    """An adjective and a surname, with a digit when that name is taken. AlreadyExists after very many tries."""
    for attempt in range(100):
        name = f"{rng.choice(_ADJECTIVES)}_{rng.choice(_SURNAMES)}"
        if attempt >= 5:
            name += str(rng.randrange(10 ** (attempt // 5)))
        if not taken(name):
            return name
    raise AlreadyExists("no free name was found for the container: give one with --name")
