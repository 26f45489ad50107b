"""The faces: the command line and its pages. No logic of their own."""
