"""`make bench`: each figure is a ratio against a floor or a peer that was measured in the same run, in turn.

`turns` holds the measuring, `sink` is what all of them call; `withdrawal`, `draining`, `waiting` and `pages` are the
figures, and `report` writes them down.
"""
