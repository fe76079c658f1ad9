"""Words to objects: recipes, their settings, and what a recipe names."""
