"""A retailer's purchases."""
