"""Every command, registered by importing the file that holds it."""
