"""How good codes are: every protocol as one command, with floors beside it."""
