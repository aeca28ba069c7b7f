"""What reads runs: curves, statistics, figures."""
