"""What each command of the command line does, once its settings are known."""
