"""The page of `sleepsearch serve`: one room a tab, over `retrieval` alone."""
