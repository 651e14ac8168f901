"""Next-item recommendation from frozen foundation models and small side networks."""
