"""What a night is and what it means: recordings, captions, models, simulation. Stores nothing."""
