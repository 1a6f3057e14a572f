"""Mails: what they say, how that is written down, and who takes them."""
