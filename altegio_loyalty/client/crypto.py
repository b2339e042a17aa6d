"""The key ring for tokens at rest: the first key encrypts, every key decrypts, and each text only where it belongs."""

import base64
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from altegio_loyalty.client.hidden import hides_frames
from altegio_loyalty.exceptions import UndecryptableToken

#: Stands around the place inside what is encrypted; no token holds one.
_MARK = "\0"


def derive_key(secret: str) -> str:
    """A Fernet key that belongs to `secret` and to this use of it alone."""
    derivation = HKDF(hashes.SHA256(), length=32, salt=None, info=b"altegio_loyalty tokens at rest")
    return base64.urlsafe_b64encode(derivation.derive(secret.encode())).decode()


class KeyRing:
    """Encrypts and decrypts texts. Raises ValueError for a key that is not 32 url-safe base64-encoded bytes."""

    __slots__ = ("_fernet",)  # no tracker walks into the keys

    def __init__(self, keys: Sequence[str]) -> None:
        if not keys:
            raise ValueError("at least one key is needed")
        self._fernet = MultiFernet([Fernet(key) for key in keys])

    def __repr__(self) -> str:
        return "KeyRing([hidden])"

    def encrypt(self, text: str, place: str) -> str:
        """Ciphertext of `text` that can be read at `place` alone."""
        return self._fernet.encrypt(f"{_MARK}{place}{_MARK}{text}".encode()).decode()

    @hides_frames
    def decrypt(self, ciphertext: str, place: str) -> str:
        """The text. Raises `UndecryptableToken` where no key made this ciphertext, or where it is for another place."""
        try:
            text = self._fernet.decrypt(ciphertext.encode()).decode()
        except (InvalidToken, UnicodeError):
            raise UndecryptableToken from None
        if not text.startswith(_MARK):
            return text  # of an earlier release
        made_for, _, token = text[1:].partition(_MARK)
        if made_for != place:
            raise UndecryptableToken("The stored token is not of this location and field. Enter it again.")
        return token
