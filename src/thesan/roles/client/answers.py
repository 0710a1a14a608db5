"""What an FST says in the place of an answer: wait, or go elsewhere."""

import errno

from thesan.core.model.errors import OperationError, WireError
from thesan.core.model.limits import CLIENT_WAIT_SECONDS_MAX, CLIENT_WAIT_SECONDS_MIN
from thesan.core.wire.bodies import Redirect, parse_redirect, parse_wait
from thesan.core.wire.client import Response


def wait_seconds(response: Response) -> float:
    """Seconds of a kXR_wait, within our bounds. OperationError EPROTO when it is unreadable."""
    try:
        seconds, _ = parse_wait(bytes(response.body))
    except WireError as error:
        raise OperationError(errno.EPROTO, error.text) from error
    return min(max(seconds, CLIENT_WAIT_SECONDS_MIN), CLIENT_WAIT_SECONDS_MAX)


def redirect_of(response: Response) -> Redirect:
    """Target of a kXR_redirect. OperationError EPROTO when it is unreadable."""
    try:
        return parse_redirect(bytes(response.body))
    except WireError as error:
        raise OperationError(errno.EPROTO, error.text) from error
