"""
Chaos: real processes that are killed, stopped and woken up under load, and what is left of that.

Only what was done outside tells the truth, so every operation of every flow here asks a `sink`,
which notes it. A `Sender` delivers as real senders do, a `Cluster` of daemons suffers what a
`trial` has in store for it, and `promise` judges what was seen.
"""
