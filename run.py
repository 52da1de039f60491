"""Run mailbot from a checkout: `python run.py COMMAND` is the same program as the installed `mailbot`."""

from mailbot.cli import main

if __name__ == "__main__":
    main()
