"""``--cache-from``: a layer of an image that was made by the same steps. What no cache of this engine knows, it may.

An image tells only the text of its steps, so the layers below must be the same ones, byte for byte, and the text too.
"""

from dataclasses import dataclass

from wherry.build.cache import Layer
from wherry.build.images import base_state
from wherry.build.session import Session
from wherry.build.state import State
from wherry.dockerfile.faults import one_line
from wherry.errors import NotFound
from wherry.oci.image import History


@dataclass(frozen=True, slots=True)
class _Place:
    """How far a stage has come: the steps so far, and the layers."""

    history: tuple[History, ...]
    layers: tuple[Layer, ...]


async def layer_of(session: Session, state: State, text: str) -> Layer | None:
    """The layer that the step ``text`` made on top of ``state`` in one of the images named, None if in none.

    An image that is not there, or has no history, is no fault: it is a cache.
    """
    for name in session.request.cache_from if not session.request.no_cache else ():
        try:
            image = await base_state(session, one_line(name), "")
        except NotFound:
            continue
        found = _next(_Place(image.history, image.layers), state, text)
        if found is not None:
            return found
    return None


def _next(image: _Place, state: State, text: str) -> Layer | None:
    steps, below = len(state.history), len(state.layers)
    if len(image.history) <= steps or len(image.layers) <= below:
        return None
    if [layer.diff_id for layer in image.layers[:below]] != [layer.diff_id for layer in state.layers]:
        return None
    if [step.created_by for step in image.history[:steps]] != [step.created_by for step in state.history]:
        return None
    entry = image.history[steps]
    return image.layers[below] if entry.created_by == text and not entry.empty_layer else None
