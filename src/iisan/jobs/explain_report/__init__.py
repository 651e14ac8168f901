"""An explanation as a page and as JSON."""
