"""Every error of the app::

    AltegioLoyaltyError
      ApiError                  a call to Altegio did not end in a readable success
        NotSent                 certainly not done: no byte of the request left this machine
        NoAnswer                perhaps done: the request left, the answer did not arrive whole
        UnreadableAnswer        perhaps done: an answer came that nobody can make sense of, or that is not Altegio's own
          RowNotKnown           perhaps done: the visit shows a loyalty row that could be it, and nobody can judge
          NotShown              perhaps done: a success that does not show the visit
        ServerError             perhaps done: HTTP 5xx, 408 or a redirect
        RateLimited             certainly not done: HTTP 429, or any other refusal that speaks of the limit of requests
          Throttled             nothing was sent: the site's own budget of requests is used up
        Unauthorized            certainly not done: HTTP 401, the tokens are not accepted
        Refused                 certainly not done: another 4xx of Altegio's own, or 200 with success:false
      OperationInProgress       the visit and card have an operation that is not finished
      OperationNotAllowed       the operation's state does not permit what was asked of it
      IdempotencyConflict       the key was used before, with other arguments
      TransactionOpen           a call to Altegio was asked for inside a database transaction
      UndecryptableToken        a stored token cannot be read with ENCRYPTION_KEYS

The message comes first and is the only positional argument, so that each of them survives pickling.
Bad arguments are not here: they raise `django.core.exceptions.ValidationError`.
"""

from typing import Any


class AltegioLoyaltyError(Exception):
    """Something in Altegio loyalty went wrong."""

    def __init__(self, message: str = "") -> None:
        paragraph = (type(self).__doc__ or "").split("\n\n")[0]
        super().__init__(message or " ".join(paragraph.split()))


class ApiError(AltegioLoyaltyError):
    """The call to Altegio failed.

    The message is plain words; `detail` is what a developer wants to know beside them. `http_status` is None where no
    answer came; `body` is the start of the answer, without secrets; `retry_after` is the server's own wish, in seconds.
    """

    def __init__(
        self,
        message: str = "",
        *,
        http_status: int | None = None,
        body: str = "",
        retry_after: float | None = None,
        detail: str = "",
    ) -> None:
        super().__init__(message)
        self.http_status, self.body = http_status, body
        self.detail, self.retry_after = detail, retry_after


class NotSent(ApiError):
    """Altegio could not be reached; nothing was sent."""


class NoAnswer(ApiError):
    """Altegio did not answer."""


class UnreadableAnswer(ApiError):
    """Altegio's answer could not be read."""


class RowNotKnown(UnreadableAnswer):
    """The visit shows a loyalty row that nobody can judge."""


class NotShown(UnreadableAnswer):
    """Altegio answered with success, but its answer does not show the visit."""


class ServerError(ApiError):
    """Altegio had an error of its own."""


class RateLimited(ApiError):
    """Altegio's limit of requests is used up."""


class Throttled(RateLimited):
    """This site has used up its requests to Altegio for the moment."""


class Unauthorized(ApiError):
    """Altegio does not accept the tokens of this location."""


class Refused(ApiError):
    """Altegio refused."""


class OperationInProgress(AltegioLoyaltyError):
    """Another operation on this visit and card is not finished yet.

    `operation` is that one, a `LoyaltyOperation`; None where it has just ended. It can also be one of which a person said
    that it did not happen while its call could still arrive: until its `holds_card_until`.
    """

    def __init__(self, message: str = "", *, operation: Any = None) -> None:
        super().__init__(message)
        self.operation = operation


class OperationNotAllowed(AltegioLoyaltyError):
    """The state of this operation does not permit that."""


class IdempotencyConflict(AltegioLoyaltyError):
    """This idempotency key was used before for something else."""


class TransactionOpen(AltegioLoyaltyError, RuntimeError):
    """Altegio cannot be called inside an open database transaction. Call it after the transaction, or exempt the view from
    ATOMIC_REQUESTS. For an operation, pass deliver="on_commit": it joins your transaction and is sent when that commits.
    """


class UndecryptableToken(AltegioLoyaltyError):
    """The token is stored, but none of ENCRYPTION_KEYS can read it. Enter it again, or restore the old key."""
