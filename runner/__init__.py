"""A declarative flow runner: flows are YAML files in git, the daemon runs what they say."""
