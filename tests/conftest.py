"""The servers that tests talk to: each fixture lives in a module of its own."""

pytest_plugins = ["fixtures.dovecot", "fixtures.smtp"]
