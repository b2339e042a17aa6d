"""What only the demo needs, and no host site copies: a supervisor, a broker without a server, stand-ins for settings."""

from kombu.transport import TRANSPORT_ALIASES

TRANSPORT_ALIASES["folder"] = "project.demo.broker:Transport"
