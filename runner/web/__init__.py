"""The HTTP edge: translates requests into starts and results into answers, decides nothing."""
