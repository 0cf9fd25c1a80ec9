"""What is known about reports without looking at an image: labels, entities, phrases."""
