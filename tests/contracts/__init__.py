"""What everything of a kind promises."""
