"""A month at KosterNET in a minute: the real program on servers inside the process."""
