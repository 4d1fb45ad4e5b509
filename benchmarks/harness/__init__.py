"""Starting processes, reading their cost, comparing figures, and writing them down."""
