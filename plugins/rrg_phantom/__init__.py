"""The embedded default: a seeded generator of chest phantoms with reports and every annotation."""
