"""Tools that nobody here tuned, each put to simulated nights; one module a judge, one table by `judge_simulator.py`."""
