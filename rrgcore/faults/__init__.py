"""What stops a run in the middle of its work: numbers that are none, and memory that is too small.

Each says what happened and where, and what to change, as overrides to type. Nothing here is reached
while all is well, but for one look at each loss and gradient.
"""
