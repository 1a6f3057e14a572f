"""
Accepted executions, kept until they have ended, and told of afterwards.

`base` is the port; `memory` and `sqlite` are behind it, and share `serving`.
"""
