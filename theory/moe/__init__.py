"""What mixtures of experts can express, by explicit construction."""
