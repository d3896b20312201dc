"""Tables, figures and records of results. No mathematics: every number comes from elsewhere.

`tables` prints, `figures` and `curves` draw (Matplotlib is imported only there), `records` makes plain values and
strict JSON, `files` writes whole or not at all.
"""
