"""A local Altegio with real books and switchable faults: for the demo, the tests, and host sites' own tests.

It needs nothing but Python: no Django, no settings, no network. See docs/sandbox.md.
"""

from altegio_loyalty.sandbox.faults import FAULTS
from altegio_loyalty.sandbox.ledger import Ledger
from altegio_loyalty.sandbox.remote import SandboxRemote
from altegio_loyalty.sandbox.server import Sandbox

__all__ = ["FAULTS", "Ledger", "Sandbox", "SandboxRemote"]
