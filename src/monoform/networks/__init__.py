"""Networks that take parts and sizes as arguments and know nothing of papers."""
