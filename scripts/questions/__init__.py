"""The frozen questions, the rules that say what answers them, and what the judge asks beside the search."""
