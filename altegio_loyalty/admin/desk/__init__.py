"""The reception: find a visit, see what Altegio shows of it, act on it or on several at once."""
