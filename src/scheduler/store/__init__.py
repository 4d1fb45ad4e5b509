"""What is remembered: the face of a journal, and the journals there are."""
