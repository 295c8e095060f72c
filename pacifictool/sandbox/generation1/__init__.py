"""What only 1.x servers have: plugins, rules, their REST API and their device API."""
