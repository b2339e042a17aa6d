"""The log of operations: to read, to decide about, and to take along as CSV."""
