"""What a host site can listen to.

Those of operations are sent after the result is committed, with `operation` (a `LoyaltyOperation`), by `LoyaltyOperation`
as the sender; the others with `since` (a moment), by `WatchEntry`, each once for all processes.
A receiver that raises is logged and disturbs nothing.
"""

from django.dispatch import Signal

#: The effect is in Altegio (or, for a cancel, there was nothing to undo).
operation_succeeded = Signal()
#: Altegio refused, or the visit already showed what was asked for; nothing was done.
operation_rejected = Signal()
#: Out of attempts or out of time, and known not to have happened; or a person said that it did not.
operation_failed = Signal()
#: A person withdrew the operation before it took effect.
operation_abandoned = Signal()
#: Each goes out behind the commit of that state, from the process that wrote it.
OF_STATE = {
    "succeeded": operation_succeeded,
    "rejected": operation_rejected,
    "failed": operation_failed,
    "abandoned": operation_abandoned,
}
#: A person must look: in doubt, given up, or the visit shows more than the log explains.
operation_needs_attention = Signal()
#: With `books` alone, a `BooksOfDay`, which is the sender: a day was compared with Altegio's, or could not be for once.
books_checked = Signal()

#: Several calls in a row, of whichever process, got no answer of Altegio's own, since then; and the first answer after that.
altegio_away, altegio_back = Signal(), Signal()
#: Work is due, and no sweep was heard of since then.
queue_stalled = Signal()
#: Altegio refuses the tokens of `location`, so that its operations wait; and they work, or were replaced.
location_paused, location_resumed = Signal(), Signal()
