"""Claim, send, record, decide what is next; look up what is in doubt.

No transaction and no lock is held over a call. What is due is in the database alone, so a lost or doubled message of the
broker changes nothing.
"""

from altegio_loyalty.delivery.sweep import Report, deliver, hold, release, run_due

__all__ = ["Report", "deliver", "hold", "release", "run_due"]
