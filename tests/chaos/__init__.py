"""The long attack: real processes, real servers, faulty calls, workers killed and suspended at random. See `__main__`."""
