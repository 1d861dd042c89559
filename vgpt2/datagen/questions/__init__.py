"""Questions with their right answers, and what a maker of them draws from."""
