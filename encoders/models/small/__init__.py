"""`sleepsearch-small`: our own aligned encoder of signals and sentences, over any subset of sensors."""
